"""What is compared with video-diffusion-pytorch 0.7.0: networks, inputs and weights, all from seeds
and names.

Read by tools/golden/vdm.py, which runs the original on them, and by the parity tests, which run
ours. Weights are never stored: each is a function of its key in the original's state dict.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from mindlong.networks.unet3d.names import names
from mindlong.networks.unet3d.spec import Unet3DSpec
from mindlong.utils import rng

SEED = 20220407
SMALL = {"dim": 8, "dim_mults": (1, 2), "attn_heads": 2, "attn_dim_head": 16}


@dataclass(frozen=True)
class NetCase:
    """One whole network on one input. `network` holds Unet3D's arguments; shape is (B, C, F, H,
    W).
    """

    name: str
    shape: tuple[int, int, int, int, int] = (2, 3, 5, 8, 12)
    network: dict = field(default_factory=lambda: dict(SMALL))
    focus: tuple[bool, ...] | None = None
    scale: float = 1.0
    about: str = ""
    older: dict = field(default_factory=dict)  # fields of our spec for releases before 0.7.0

    def spec(self, compat: bool = True) -> Unet3DSpec:
        """The spec of ours that is to equal the original."""
        return Unet3DSpec(**self.network, **self.older, compat=compat)

    def inputs(self) -> dict[str, np.ndarray]:
        """x, t, and where there is one cond and focus_present_mask; `probe` weighs the output for
        the gradients.
        """
        batch, wide = self.shape[0], self.network.get("cond_dim")
        made = {
            "x": rng.normal(self.shape, SEED, "x", self.name),
            "t": np.array([999, 0, 37][:batch], np.int32),
        }
        if wide:
            made["cond"] = rng.normal((batch, wide), SEED, "cond", self.name)
        if self.focus is not None:
            made["focus_present_mask"] = np.array(self.focus)
        out = (batch, self.spec().out_channels, *self.shape[2:])
        return made | {"probe": rng.normal(out, SEED, "probe", self.name)}


def small(**changes: object) -> dict:
    """The small network's arguments with some changed."""
    return SMALL | changes


NETS = [
    NetCase("plain", about="unconditional, batch 2, not square, 5 frames"),
    NetCase("conditional", network=small(cond_dim=6), about="conditional"),
    NetCase("focus_mixed", focus=(True, False), about="focus mask, one of two videos"),
    NetCase(
        "focus_all", focus=(True, True), about="focus mask, all videos (the original's short cut)"
    ),
    NetCase("focus_none", focus=(False, False), about="focus mask, none"),
    NetCase(
        "no_sparse",
        network=small(use_sparse_linear_attn=False),
        about="without sparse linear attention",
    ),
    NetCase("frames_1", shape=(1, 3, 1, 8, 8), about="1 frame"),
    NetCase("frames_17", shape=(1, 3, 17, 8, 4), about="17 frames (the bucket boundary)"),
    NetCase(
        "frames_33",
        shape=(1, 3, 33, 4, 4),
        network=small(dim_mults=(1,)),
        about="33 frames, one level",
    ),
    NetCase(
        "four_levels",
        (1, 3, 3, 16, 8),
        {"dim": 4, "dim_mults": (1, 2, 4, 8), "attn_heads": 2},
        about="four levels, as the default",
    ),
    NetCase(
        "grey_to_six",
        (2, 1, 3, 8, 8),
        small(channels=1, out_dim=6, init_kernel_size=3, attn_dim_head=48),
        about="1 channel in, 6 out, first kernel 3, heads 48 wide (32 turned)",
    ),
    NetCase(
        "kernel_1",
        (2, 4, 2, 8, 8),
        small(channels=4, init_kernel_size=1, attn_dim_head=8),
        about="4 channels, first kernel 1, heads 8 wide",
    ),
    NetCase("guided_0", network=small(cond_dim=6), scale=0.0, about="cond_scale 0"),
    NetCase("guided_2", network=small(cond_dim=6), scale=2.0, about="cond_scale 2"),
    NetCase("guided_7.5", network=small(cond_dim=6), scale=7.5, about="cond_scale 7.5"),
    NetCase(
        "older_norm",
        (1, 3, 2, 8, 8),
        {"dim": 16, "dim_mults": (1,), "attn_heads": 2, "attn_dim_head": 16},
        older={"block_norm": "group"},
        about="GroupNorm blocks, as before 0.7.0",
    ),
    NetCase(
        "older_skip",
        (1, 3, 2, 8, 8),
        older={"long_skip": "before_attn"},
        about="long skip as before 0.6.0",
    ),
]
NET = {case.name: case for case in NETS}

BLOCK_NET = NetCase("blocks", network=small(cond_dim=6))


@dataclass(frozen=True)
class BlockCase:
    """One part of the network of BLOCK_NET alone. `source` and `ours` are its paths in the original
    and in our cell.
    """

    name: str
    source: str
    ours: str
    shape: tuple[int, ...]  # of x: (B, C, F, H, W)
    extra: str = ""  # "time", "untimed", "positions", or ""
    focus: tuple[bool, ...] | None = None
    about: str = ""
    special: str = ""  # "zeros" plants vectors of 0 and of 1e-13

    def inputs(self) -> dict[str, np.ndarray]:
        """x, the embedding that time-conditioned parts get, and the probe's seed name."""
        x = rng.normal(self.shape, SEED, "block x", self.name)
        if self.special == "zeros":
            x[0, :, 0, 0, 0], x[0, :, 0, 0, 1] = 0.0, 1e-13
        made = {"x": x}
        if "time" in self.extra:
            made["emb"] = rng.normal(
                (self.shape[0], BLOCK_NET.spec().emb_dim), SEED, "block emb", self.name
            )
        return made

    def probe(self, shape: tuple[int, ...]) -> np.ndarray:
        """Weights of the output, for the gradients."""
        return rng.normal(shape, SEED, "block probe", self.name)


BLOCKS = [
    BlockCase(
        "resnet", "downs.0.0", "downs.0.res1", (2, 8, 3, 6, 5), "time", about="residual block, FiLM"
    ),
    BlockCase(
        "resnet_widen",
        "downs.1.0",
        "downs.1.res1",
        (2, 8, 3, 4, 4),
        "time",
        about="residual block, wider",
    ),
    BlockCase(
        "resnet_narrow",
        "ups.0.0",
        "ups.0.res1",
        (2, 32, 2, 4, 4),
        "time",
        about="residual block, after a skip",
    ),
    BlockCase(
        "resnet_final",
        "final_conv.0",
        "final.res",
        (2, 16, 2, 6, 6),
        "untimed",
        about="residual block, untimed",
    ),
    BlockCase(
        "linear",
        "downs.0.2",
        "downs.0.spatial",
        (2, 8, 3, 8, 8),
        about="sparse linear attention, 64 pixels",
    ),
    BlockCase(
        "linear_1",
        "downs.0.2",
        "downs.0.spatial",
        (2, 8, 3, 1, 1),
        about="sparse linear attention, 1 pixel",
    ),
    BlockCase(
        "spatial", "mid_spatial_attn", "mid.spatial", (2, 16, 3, 4, 6), about="spatial attention"
    ),
    BlockCase(
        "temporal",
        "downs.0.3",
        "downs.0.temporal",
        (2, 8, 5, 3, 4),
        "positions",
        about="temporal attention",
    ),
    BlockCase(
        "temporal_all",
        "downs.0.3",
        "downs.0.temporal",
        (2, 8, 5, 3, 4),
        "positions",
        (True, True),
        "temporal attention, all focused",
    ),
    BlockCase(
        "temporal_mixed",
        "downs.0.3",
        "downs.0.temporal",
        (2, 8, 5, 3, 4),
        "positions",
        (True, False),
        "temporal attention, one of two focused",
    ),
    BlockCase(
        "temporal_17",
        "mid_temporal_attn",
        "mid.temporal",
        (1, 16, 17, 2, 3),
        "positions",
        about="temporal attention, 17 frames",
    ),
    BlockCase(
        "temporal_1",
        "mid_temporal_attn",
        "mid.temporal",
        (1, 16, 1, 2, 3),
        "positions",
        about="temporal attention, 1 frame",
    ),
    BlockCase(
        "down_even",
        "downs.0.4",
        "downs.0.resample",
        (2, 8, 2, 6, 8),
        about="downsample, even sizes",
    ),
    BlockCase(
        "down_odd", "downs.0.4", "downs.0.resample", (2, 8, 2, 7, 5), about="downsample, odd sizes"
    ),
    BlockCase("up", "ups.0.4", "ups.0.resample", (2, 8, 2, 3, 5), about="upsample"),
    BlockCase(
        "layer_norm",
        "downs.0.2.fn.norm",
        "downs.0.spatial.norm",
        (2, 8, 2, 3, 4),
        about="channel LayerNorm",
    ),
    BlockCase(
        "rms_zero",
        "final_conv.0.block2",
        "final.res.norm2",
        (2, 8, 2, 3, 4),
        special="zeros",
        about="channel RMSNorm and SiLU, vectors of 0 and of 1e-13",
    ),
    BlockCase("init_conv", "init_conv", "init_conv", (2, 3, 2, 6, 9), about="first convolution"),
]
BLOCK = {case.name: case for case in BLOCKS}

KEYS = {
    "default": {"dim": 64},
    "conditional": {"dim": 64, "cond_dim": 768},
    "no_sparse": small(use_sparse_linear_attn=False),
    "other": small(
        dim_mults=(1, 3, 2), channels=1, out_dim=2, attn_dim_head=48, init_kernel_size=3
    ),
}
BIAS_FRAMES = (1, 2, 16, 17, 20, 33, 65)
ROTARY_FRAMES = (1, 5, 70)
TIMES = np.array([0, 1, 37, 500, 999], np.int32)
DIFFUSION_STEPS = 10


def weights(spec: Unet3DSpec) -> dict[str, np.ndarray]:
    """A value for every key of the original's state dict, sized so that activations stay near 1."""
    made = {}
    for entry in names(spec):
        value = _weight(entry.source, entry.source_shape)
        made |= dict.fromkeys((entry.source, *entry.ties), value)
    return made


def calm_weights(spec: Unet3DSpec) -> dict[str, np.ndarray]:
    """`weights` with little output: random networks are chaotic when a sampler feeds them their own
    output.
    """
    return {
        k: v * np.float32(0.03) if k.startswith("final_conv.1") else v
        for k, v in weights(spec).items()
    }


def _weight(key: str, shape: tuple[int, ...]) -> np.ndarray:
    drawn = rng.normal(shape, SEED, "weight", key)
    if key.endswith("rotary_emb.freqs"):
        whole = 10000.0 ** (-np.arange(shape[0]) / shape[0])
        return (whole * (1 + 0.05 * drawn)).astype(np.float32)
    if key.endswith(("gamma", "norm.weight")):
        return 1 + 0.3 * drawn
    if key.endswith("bias") or key.endswith("bias.weight") or key == "null_cond_emb":
        return (0.3 if key.endswith("bias") else 1.0) * drawn
    return drawn * np.float32(1.5 / np.sqrt(np.prod(shape[1:])))


def noise_tape(shape: tuple[int, ...], steps: int = DIFFUSION_STEPS) -> list[np.ndarray]:
    """The start and the noise of every step, in the order in which the original draws them."""
    return [rng.normal(shape, SEED, "tape", i) for i in range(steps + 1)]
