"""What is compared with DynamiCrafter's own source and with that of VideoCrafter1's image-to-video
model: networks, inputs and weights, all from seeds and names.

Read by tools/golden/dynamicrafter.py and videocrafter1.py, which run the originals on them, and by
the parity tests.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import unet_cases

from mindlong.networks.resampler.names import names as resampler_names
from mindlong.networks.resampler.spec import ResamplerSpec
from mindlong.utils import rng

SEED, TEXT, EACH = 20231018, 77, 16  # the original has both numbers of tokens written in
SIZES = {
    "channels": (8, 16),
    "layers": 1,
    "attends": (True, False),
    "groups": 4,
    "context_dim": 24,
    "head_dim": 4,
}


@dataclass(frozen=True)
class ImageCase(unet_cases.Case):
    """A UNet that reads an image's tokens, apart for each frame or, with `shared`, all of them; in
    all there are `tokens`, or 0 for as many as the frames need.
    """

    shared: bool = False
    tokens: int = 0

    def inputs(self) -> dict[str, np.ndarray]:
        """As of any UNet; `context` is the original's: (B, text and image tokens, D)."""
        made = super().inputs()
        batch, frames = self.shape[:2]
        count = TEXT + (self.tokens or EACH * frames + self.shared)
        shape = (batch, count, self.spec().context_dim)
        return made | {"context": rng.normal(shape, SEED, "context", self.name)}

    def by_frame(self, context: np.ndarray) -> np.ndarray:
        """The original's context as our network takes it: (B, F, T, D), or (B, T, D) shared."""
        if self.shared:
            return context
        batch, frames = self.shape[:2]
        text = np.broadcast_to(context[:, None, :TEXT], (batch, frames, TEXT, context.shape[2]))
        image = context[:, TEXT:].reshape(batch, frames, EACH, -1)
        return np.ascontiguousarray(np.concatenate([text, image], 2))


CASES = {
    case.name: case
    for case in (
        ImageCase(
            "dynamicrafter_plain",
            "dynamicrafter",
            "dynamicrafter_512",
            "lvdm",
            SIZES,
            (2, 3, 4, 6),
            True,
        ),
        ImageCase(
            "dynamicrafter_shared",
            "dynamicrafter",
            "dynamicrafter_512",
            "lvdm",
            SIZES,
            (2, 3, 4, 6),
            shared=True,
        ),
        ImageCase(
            "dynamicrafter_gated",
            "dynamicrafter",
            "dynamicrafter_256",
            "lvdm_framestride",
            SIZES,
            (2, 3, 4, 6),
            True,
        ),
        ImageCase(
            "dynamicrafter_gated_f16",
            "dynamicrafter",
            "dynamicrafter_256",
            "lvdm_framestride",
            SIZES,
            (1, 16, 2, 4),
        ),
    )
}

IMAGE_TO_VIDEO = ImageCase(
    "videocrafter1_i2v",
    "videocrafter1",
    "videocrafter1_i2v",
    "lvdm",
    SIZES,
    (2, 2, 4, 4),
    True,
    shared=True,
    tokens=EACH,
)

RESAMPLER = ResamplerSpec(
    tokens=12, width=16, layers=2, heads=3, head_dim=4, hidden=64, reads=20, gives=24
)
FEW_QUERIES = ResamplerSpec(
    tokens=5, width=16, layers=2, heads=3, head_dim=4, hidden=64, reads=20, gives=24
)


def resampler_weights(spec: ResamplerSpec = RESAMPLER) -> dict[str, np.ndarray]:
    """A value for every key of the original's Resampler."""
    return {
        e.source: unet_cases.weight(f"resampler.{e.source}", e.source_shape)
        for e in resampler_names(spec)
    }


def resampler_inputs(spec: ResamplerSpec = RESAMPLER) -> tuple[np.ndarray, np.ndarray]:
    """Tokens of an image encoder, and what weighs the output for the gradients."""
    return (
        rng.normal((2, 9, spec.reads), SEED, "resampler x"),
        rng.normal((2, spec.tokens, spec.gives), SEED, "resampler probe"),
    )


@dataclass(frozen=True)
class Run:
    """A sampling run by the original's DDIM.

    Attributes:
        variant: the family whose noising process it is.
        spacing: in the original's words.
        base: of the dynamic scale; 0: none.
        image_guidance: three passes with this scale on the image; None: two.
    """

    variant: str
    steps: int
    eta: float
    spacing: str = "uniform_trailing"
    base: float = 0.7
    rescale: float = 0.7
    guidance: float = 7.5
    image_guidance: float | None = None

    @property
    def v(self) -> bool:
        """Whether v is predicted, on a schedule whose last timestep is pure noise."""
        return self.spacing == "uniform_trailing"


RUNS = {
    "interp_eta0": Run("dynamicrafter_interp", 8, 0.0),
    "interp_eta1": Run("dynamicrafter_interp", 10, 1.0),
    "interp_50": Run("dynamicrafter_interp", 50, 0.0),
    "unguided": Run("dynamicrafter_512", 10, 1.0, guidance=1.0, rescale=0.0),
    "unguided_50": Run("dynamicrafter_512", 50, 0.0, guidance=1.0, rescale=0.0),
    "three_passes": Run("dynamicrafter_1024", 10, 0.0, base=0.3, image_guidance=3.0),
    "gated": Run("dynamicrafter_256", 10, 1.0, "uniform", 0.0, 0.0),
}
IMAGE_TO_VIDEO_RUNS = {  # the published guidance is 12
    "eta0": Run("videocrafter1_i2v", 10, 0.0, "uniform", rescale=0.0, guidance=12.0),
    "eta1": Run("videocrafter1_i2v", 10, 1.0, "uniform", rescale=0.0, guidance=12.0),
    "unguided_50": Run("videocrafter1_i2v", 50, 0.0, "uniform", rescale=0.0, guidance=1.0),
}
SHAPE = (2, 2, 3, 4, 4)
CONDITIONS = {"text and image": (0.9, 0.4), "image": (0.7, -0.3), "nothing": (0.5, 0.1)}


def closed_form(x: np.ndarray, t: np.ndarray, which: str) -> np.ndarray:
    """A stand-in for a network, by numpy; x (B, ...), t (B,)."""
    a, b = (np.float32(n) for n in CONDITIONS[which])
    at = t.astype(np.float32).reshape(-1, *(1,) * (x.ndim - 1)) / np.float32(1000)
    return np.tanh(a * x.astype(np.float32)) + b * at


def start() -> np.ndarray:
    """The noise that runs start from."""
    return rng.normal(SHAPE, SEED, "run start")


def tape(step: int, shape: tuple[int, ...] = SHAPE) -> np.ndarray:
    """The noise of a step."""
    return rng.normal(shape, SEED, "run step", step)


def images() -> np.ndarray:
    """Photographs, as far as numbers can be: uint8 (2, 40, 64, 3)."""
    rows, columns = np.mgrid[0:40, 0:64]
    waves = [np.sin(rows / (3 + k)) * np.cos(columns / (5 - k)) for k in range(3)]
    one = np.stack(waves, -1) * 100 + 128
    return np.stack([one, one[::-1] * 0.7 + 20]).astype(np.uint8)


UNET_RUN = Run("dynamicrafter_512", 5, 0.0)  # on the network of dynamicrafter_plain
