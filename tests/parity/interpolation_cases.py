"""What is compared with make-a-stable-diffusion-video's own code: layers, networks, sampling, all
from seeds and names.

Read by tools/golden/interpolation.py, which runs the original, and by the parity tests, which run
ours.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from unet_cases import SEED, Case, weight

from mindlong.utils import rng


def draw(name: str, *shape: int) -> np.ndarray:
    """Standard normal float32 numbers that belong to a name."""
    return rng.normal(shape, SEED, "interpolation", name)


@dataclass(frozen=True)
class Conv:
    """A pseudo-3D convolution: cin, cout, kernel, stride, padding."""

    name: str
    sizes: tuple[int, int, int, int, int]

    def keys(self) -> dict[str, tuple[int, ...]]:
        """The original's tensors."""
        cin, cout, kernel = self.sizes[:3]
        return {
            "spatial_conv.weight": (cout, cin, kernel, kernel),
            "spatial_conv.bias": (cout,),
            "temporal_conv.weight": (cout, cout, 3),
            "temporal_conv.bias": (cout,),
        }

    def weights(self) -> dict[str, np.ndarray]:
        """Their values."""
        return {key: weight(f"{self.name}.{key}", shape) for key, shape in self.keys().items()}

    def input(self, frames: int) -> np.ndarray:
        """(2, cin, F, 5, 6); 0 frames: images (2, cin, 5, 6)."""
        shape = (2, self.sizes[0], frames, 5, 6) if frames else (2, self.sizes[0], 5, 6)
        return draw(f"{self.name} {frames}", *shape)


CONVS = [
    Conv("conv3", (4, 6, 3, 1, 1)),
    Conv("conv1", (4, 6, 1, 1, 0)),
    Conv("stride2", (4, 4, 3, 2, 1)),
]
CONV_FRAMES = (1, 2, 5, 0)


@dataclass(frozen=True)
class ResNet:
    """A residual block on frames of very different scale, which a norm of single frames would even
    out.
    """

    name: str
    cin: int
    cout: int
    groups: int = 4
    emb: int = 12

    def input(self) -> np.ndarray:
        """(2, cin, 4, 4, 6): frames of scale 1, 10, 0.1 and 100."""
        return (
            draw(self.name, 2, self.cin, 4, 4, 6)
            * np.array([1, 10, 0.1, 100], np.float32)[:, None, None]
        )

    def embedding(self) -> np.ndarray:
        """(2, emb), before SiLU."""
        return draw(f"{self.name} emb", 2, self.emb)


RESNETS = [ResNet("res_same", 8, 8), ResNet("res_wider", 8, 16)]


@dataclass(frozen=True)
class Block:
    """A transformer, B = 2 with two different prompts, so that texts must be repeated frame by
    frame and not in turn.
    """

    frames: int
    tokens: int
    width: int = 8
    heads: int = 2
    groups: int = 4
    context: int = 12

    @property
    def name(self) -> str:
        """Of its arrays."""
        return f"block_f{self.frames}_t{self.tokens}"

    def input(self) -> np.ndarray:
        """(2, width, F, 3, 4)."""
        return draw(self.name, 2, self.width, self.frames, 3, 4)

    def prompts(self) -> np.ndarray:
        """(2, T, context)."""
        return draw(f"{self.name} context", 2, self.tokens, self.context)


BLOCKS = [Block(frames, tokens) for frames in (1, 5, 17) for tokens in (7, 77)]

SMALL = {
    "channels": (32, 64, 64, 64),
    "layers": 1,
    "attends": (True, True, True, False),
    "groups": 8,
    "heads": 4,
    "head_dim": None,
    "linear_projection": False,
    "in_channels": 9,
    "context_dim": 12,
}
TINY = SMALL | {"channels": (8, 16), "attends": (True, False), "groups": 4, "heads": 2}
NETS = [
    Case(f"net_f{f}", "pseudo3d", "pseudo3d", "diffusers", SMALL, (batch, f, 8, 16))
    for f, batch in ((1, 2), (5, 2), (17, 2), (65, 1))
]
BANDED = [
    Case(
        f"net_window{w}_f{f}",
        "pseudo3d",
        "pseudo3d",
        "diffusers",
        TINY,
        (1, f, 8, 8),
        reads=("time", policy),
    )
    for w, policy, f in (
        (5, "window:5", 17),
        (3, "window:3", 6),
        ("4causal", "window:4:causal", 17),
    )
]
GRADIENT = Case("net_gradient", "pseudo3d", "pseudo3d", "diffusers", TINY, (1, 5, 8, 8), grad=True)
PICTURES = [
    Case(f"picture_{h}x{w}", "pseudo3d", "pseudo3d", "diffusers", TINY, (2, 1, h, w))
    for h, w in ((8, 8), (12, 16), (4, 4))
]

TRAINED = (
    "*.temporal.*",
    "*.attn_temporal.*",
    "*.norm_temporal.*",
)  # script G's choice, under our names


def trained_in_the_original(key: str) -> bool:
    """Script G's choice, under the original's names."""
    return "temporal_conv" in key or "attn_temporal" in key or "norm_temporal" in key


@dataclass(frozen=True)
class Sampling:
    """Ten steps of the original's scheduler with the small network, guided, on a tape of noise."""

    name: str
    eta: float
    steps: int = 10
    guidance: float = 7.5
    case: Case = field(
        default_factory=lambda: Case(
            "net_sampling", "pseudo3d", "pseudo3d", "diffusers", TINY, (1, 5, 8, 8)
        )
    )

    def start(self) -> np.ndarray:
        """(1, 4, 5, 8, 8)."""
        return draw(f"{self.name} start", 1, 4, 5, 8, 8)

    def hint(self) -> np.ndarray:
        """(1, 5, 5, 8, 8): the mask, zero, and hints."""
        return np.concatenate(
            [np.zeros((1, 1, 5, 8, 8), np.float32), draw(f"{self.name} hint", 1, 4, 5, 8, 8)], 1
        )

    def contexts(self) -> np.ndarray:
        """(2, T, context): without prompt first."""
        return draw(f"{self.name} context", 2, 5, 12)

    def tape(self) -> np.ndarray:
        """(steps, 1, 4, 8, 8): the noise of a step, one image for all frames."""
        return draw(f"{self.name} tape", self.steps, 1, 4, 8, 8)


SAMPLINGS = [Sampling("ddim_eta0", 0.0), Sampling("ddim_eta1", 1.0)]
SCHEDULER = {
    "num_train_timesteps": 1000,
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "clip_sample": False,
    "set_alpha_to_one": False,
    "steps_offset": 1,
}


def masks() -> dict[str, np.ndarray]:
    """Images of a mask, uint8 (H, W) or float32; not square, and with values on either side of a
    half.
    """
    y, x = np.indices((10, 14))
    edge = np.array([0, 127, 128, 255], np.uint8)[(x + y) % 4]
    return {
        "keep": np.zeros((10, 14), np.uint8),
        "repaint": np.full((10, 14), 255, np.uint8),
        "checker": ((x + y) % 2 * 255).astype(np.uint8),
        "edge": edge,
        "half": np.array([0.25, 0.49999997, 0.5, 1.0], np.float32)[(x + y) % 4],
    }


def picture() -> np.ndarray:
    """uint8 (10, 14, 3), every value there is among them."""
    return (np.arange(420) * 7 % 256).astype(np.uint8).reshape(10, 14, 3)


LOSS = Case(
    "loss", "pseudo3d", "pseudo3d", "diffusers", TINY, (2, 4, 8, 8)
)  # 4 targets of clips of 5


def loss_inputs() -> dict[str, np.ndarray]:
    """A clip's latents (2, 4, 5, 8, 8) as stored, noise of the targets, timesteps, prompts."""
    return {
        "f8": draw("loss f8", 2, 4, 5, 8, 8) * 5,
        "noise": draw("loss noise", 2, 4, 4, 8, 8),
        "t": np.array([17, 803], np.int32),
        "context": draw("loss context", 2, 5, 12),
    }
