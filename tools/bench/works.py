"""What is timed: names and sizes, known to every peer."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

FORWARD, TRAIN = "forward", "train"
_WORDS = {
    "network": {FORWARD: "forward", TRAIN: "train step"},
    "operator": {FORWARD: "forward", TRAIN: "forward + backward"},
}


@dataclass(frozen=True)
class Work:
    """One row of the table.

    Attributes:
        group: what the command line asks for.
        family: which builder of a peer makes it: unet3d, modelscope, stable_diffusion, attention,
            or an operator's name.
        kind: forward, or train: for a network a whole update with Adam, else forward and the
            gradients of everything.
        shape: of the input; (B, C, F, H, W) for networks, (B, N, S, D) for attention.
        title: the row's name without the kind.
        sizes: what else the builder needs.
    """

    group: str
    family: str
    kind: str
    shape: tuple[int, ...]
    title: str
    sizes: dict[str, Any] = field(default_factory=dict)

    @property
    def is_network(self) -> bool:
        """Whether it is a whole network."""
        return self.family in ("unet3d", "modelscope", "stable_diffusion")

    @property
    def name(self) -> str:
        """The row's name."""
        return f"{self.title}: {_WORDS['network' if self.is_network else 'operator'][self.kind]}"


def _both(group: str, family: str, shape: tuple[int, ...], title: str, **sizes: Any) -> list[Work]:
    return [Work(group, family, kind, shape, title, sizes) for kind in (FORWARD, TRAIN)]


def _unet3d(group: str, shape: tuple[int, ...], dim: int, dim_mults: tuple[int, ...]) -> list[Work]:
    title = f"Unet3D dim {dim}, {'x'.join(map(str, shape[2:]))}"
    return _both(group, "unet3d", shape, title, dim=dim, dim_mults=dim_mults)


# Fields of UNetSpec. Heads are 64 wide in the one and 40, 80, 120 in the other, as in the full-size
# networks.
MODELSCOPE = {
    "channels": (128, 256, 384),
    "layers": 2,
    "attends": (True, True, False),
    "head_dim": 64,
    "heads": None,
    "context_dim": 512,
    "groups": 32,
}
STABLE_DIFFUSION = MODELSCOPE | {
    "channels": (160, 320, 480),
    "head_dim": None,
    "heads": 4,
    "linear_projection": False,
}
LATENTS = (1, 4, 16, 32, 32)
TOKENS = 77


def _attention() -> list[Work]:
    sizes = [(length, width) for length in (1024, 4096, 9216) for width in (40, 64, 80)]
    return [
        work
        for s, d in sizes
        for work in _both(
            "attention", "attention", (1, 8, s, d), f"attention S {s}, D {d}, 8 heads"
        )
    ]


def _operators() -> list[Work]:
    rows = [
        ("group_norm_silu", (16, 320, 32, 32), "GroupNorm + SiLU", {"groups": 32}),
        ("group_norm_film_silu", (10, 64, 64, 64), "GroupNorm + FiLM + SiLU", {"groups": 8}),
        ("layer_norm", (16384, 320), "LayerNorm", {}),
        ("channel_norm", (10, 64, 64, 64), "norm over channels", {}),
        ("silu", (16384, 1280), "SiLU", {}),
        ("gelu", (16384, 1280), "GELU", {}),
        ("geglu", (16384, 2560), "GEGLU", {}),
        ("linear", (16384, 320), "linear to 1280", {"out": 1280}),
        ("conv", (16, 320, 32, 32), "3 x 3 convolution to 320", {"out": 320}),
        ("conv", (10, 64, 64, 64), "3 x 3 convolution to 64", {"out": 64}),
        ("upsample_conv", (16, 160, 16, 16), "nearest doubling + 3 x 3 convolution", {"out": 160}),
        ("frames_conv", (1, 320, 16, 32, 32), "convolution over frames to 320", {"out": 320}),
        (
            "frames_attention",
            (1, 16, 1024, 320),
            "attention over 16 frames of 1024 pixels",
            {"heads": 5},
        ),
    ]
    out = []
    for family, shape, title, sizes in rows:
        out += _both("operators", family, shape, f"{title}, {'x'.join(map(str, shape))}", **sizes)
    return out


WORKS: tuple[Work, ...] = (
    *_unet3d("unet3d", (1, 3, 10, 64, 64), 64, (1, 2, 4, 8)),
    *_unet3d("unet3d_small", (2, 3, 8, 24, 24), 32, (1, 2, 4)),
    *_both(
        "unet_modelscope",
        "modelscope",
        LATENTS,
        "ModelScope UNet (128, 256, 384), 16x32x32",
        **MODELSCOPE,
    ),
    *_both(
        "unet_sd",
        "stable_diffusion",
        LATENTS,
        "Stable Diffusion UNet (160, 320, 480), 16x32x32",
        **STABLE_DIFFUSION,
    ),
    *_attention(),
    *_operators(),
)
