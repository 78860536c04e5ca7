"""What is compared with the own code of AnimateDiff, diffusers, LongerCrafter and
ComfyUI-AnimateDiff-Evolved: inputs and weights from seeds and names.

Read by tools/golden/animatediff.py, which runs the originals, and by the parity tests.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping

import numpy as np
import unet_cases

from mindlong.utils import rng

SEED = 20230710
WIDTH, HEADS, PIXELS = 16, 2, 2  # of a block
FRAMES = (16, 20, 24, 25, 26, 30, 32, 64)
WEIGHTINGS = ("pyramid", "flat", "delayed_reverse_sawtooth")
MODULE = {"width": 64, "heads": 2, "frames": 5, "places": 24}
SIZES = ((16, 8, 8), (15, 8, 8), (16, 9, 15))
SCHEDULES = ("standard_static", "standard_uniform", "looped_uniform", "batched")
SETTINGS = ((16, 4, 1), (16, 0, 1), (16, 7, 2), (12, 3, 3))  # length, overlap, stride


def draw(shape: tuple[int, ...], *what: object) -> np.ndarray:
    """Standard normal numbers."""
    return rng.normal(shape, SEED, *map(str, what))


def tokens(frames: int) -> np.ndarray:
    """(PIXELS, F, WIDTH): the tokens of a block, those of a pixel in a row."""
    return draw((PIXELS, frames, WIDTH), "tokens", frames)


def probe(frames: int) -> np.ndarray:
    """Weighs the output for the gradients."""
    return draw((PIXELS, frames, WIDTH), "probe", frames)


def weights(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, np.ndarray]:
    """A value for every tensor, by its name."""
    return {name: unet_cases.weight(name, shape) for name, shape in shapes.items()}


def quiet(shape: tuple[int, ...]) -> np.ndarray:
    """Activations so small that the eps of a norm shows."""
    return draw(shape, "quiet") * np.float32(0.003)


def digest(windows: Callable[[int, int], list[list[int]]], longest: int) -> str:
    """A fingerprint of the windows (frames, step) -> lists for 17 to 79 frames and 8 steps.

    Args:
        longest: frames that the widest window spans; shorter videos are left out, for which the
            original's moved windows name frames that there are not.
    """
    counts = range(max(17, longest), 80)
    rows = [windows(frames, step) for frames in counts for step in range(8)]
    return hashlib.sha256(json.dumps(rows).encode()).hexdigest()
