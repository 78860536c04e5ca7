"""How much a file may hold before it is refused."""

from __future__ import annotations

from dataclasses import dataclass

from mindlong.utils.errors import InputFileError
from mindlong.utils.shown import shown


@dataclass(frozen=True)
class Limits:
    """Guards against broken headers, against filling the memory and against waiting for ever."""

    frames: int = 100_000
    side: int = 8192  # pixels
    seconds: float = 4 * 3600.0
    gigabytes: float = 8.0  # of the frames read into memory at once
    stall: float = 60.0  # seconds that a decoder may need for one frame


LIMITS = Limits()  # the usual ones


def check_side(path: object, size: tuple[int, int], limits: Limits) -> None:
    """Raise InputFileError where (height, width) is beyond the limit, or nothing at all."""
    height, width = size
    if min(size) < 1:
        raise InputFileError(f"{shown(path)} states {height}x{width} pixels; that is no image")
    if max(size) > limits.side:
        raise InputFileError(
            f"{shown(path)} has frames of {height}x{width}; the limit is {limits.side} pixels a side"
        )
