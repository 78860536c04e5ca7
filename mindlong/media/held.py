"""Frames that a program holds in memory, under names that are read wherever the path of a video or
an image is.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mindlong.utils.errors import ConfigError


@dataclass(frozen=True)
class Held:
    """Frames uint8 (F, H, W, 3), shown at `fps`."""

    frames: np.ndarray
    fps: float


_held: dict[str, Held] = {}
_numbers = itertools.count(1)


@contextlib.contextmanager
def held(frames_FHWC: np.ndarray, fps: float) -> Iterator[str]:
    """Inside, the name given stands for these frames.

    Raises:
        ConfigError: no frames, or none of 8-bit colours.
    """
    frames = np.asarray(frames_FHWC)
    if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[3] != 3 or 0 in frames.shape:
        raise ConfigError(
            f"frames are given as {frames.dtype} of the shape {frames.shape}; (frames, height, "
            "width, 3) in uint8, 0 to 255, is needed"
        )
    name = f"the frames given ({next(_numbers)})"
    _held[name] = Held(frames, fps)
    try:
        yield name
    finally:
        del _held[name]


def find(path: str | Path) -> Held | None:
    """The frames that a name stands for; None for the path of a file."""
    return _held.get(str(path))
