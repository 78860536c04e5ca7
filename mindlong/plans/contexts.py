"""Which windows of frames a network is asked for at each step of sampling, and how much each place
of a window counts: the schedules of ComfyUI-AnimateDiff-Evolved, by its names.

The windows of the uniform schedules depend on the step, so that every noise level has its joints at
other frames.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import ceil, log2

import numpy as np

from mindlong.utils.errors import ConfigError, did_you_mean

Window = list[int]


@dataclass(frozen=True)
class Contexts:
    """A schedule of windows.

    Attributes:
        schedule: of SCHEDULES.
        length: frames of a window.
        overlap: frames that a window shares with the next.
        stride: uniform schedules: up to how many doublings of the distance between a window's
            frames are taken too, the plain one counted.
        closed_loop: looped_uniform: the last window goes on with the first frames.
        fuse: of FUSES.
    """

    schedule: str = "standard_static"
    length: int = 16
    overlap: int = 4
    stride: int = 1
    closed_loop: bool = False
    fuse: str = "pyramid"

    def __post_init__(self) -> None:
        for key, known in (("schedule", SCHEDULES), ("fuse", FUSES)):
            word = getattr(self, key)
            if word not in known:
                raise ConfigError(f"contexts.{key} is {word!r}.{did_you_mean(word, known)}")
        if not 0 <= self.overlap < self.length:
            raise ConfigError(
                f"contexts.overlap is {self.overlap}; it must be below contexts.length, {self.length}"
            )
        if self.fuse == "relative" and self.schedule != "standard_static":
            raise ConfigError(
                "contexts.fuse is relative, which is for contexts.schedule=standard_static"
            )

    def windows(self, frames: int, step: int = 0) -> list[Window]:
        """The frames of each window at step number `step`, counted from 0."""
        short = frames < self.length or (frames == self.length and self.schedule != LOOPED)
        return [[*range(frames)]] if short else SCHEDULES[self.schedule](self, frames, step)

    def weights(self, window: Sequence[int], frames: int) -> np.ndarray:
        """float64 (frames of the window,): how much each of its places counts."""
        return FUSES[self.fuse](self, window, frames)


def halved(step: int) -> float:
    """0, 1/2, 1/4, 3/4, 1/8, ...: the bits of `step` mirrored behind the point."""
    found, share = 0.0, 0.5
    while step:
        found, share, step = found + share * (step & 1), share / 2, step >> 1
    return found


def _static(own: Contexts, frames: int, step: int) -> list[Window]:
    found = []
    for start in range(0, frames, own.length - own.overlap):
        first = min(start, frames - own.length)
        found.append([*range(first, first + own.length)])
        if first + own.length == frames:
            break
    return found


def _uniform(own: Contexts, frames: int, step: int, closed: bool) -> list[Window]:
    doublings = min(own.stride, ceil(log2(frames / own.length)) + 1)
    moved, found = round(frames * halved(step)), []
    for gap in (1 << power for power in range(doublings)):
        first, last = int(halved(step) * gap) + moved, frames + moved - own.overlap * (not closed)
        for start in range(first, last, own.length * gap - own.overlap):
            found.append([f % frames for f in range(start, start + own.length * gap, gap)])
    return found


def _looped(own: Contexts, frames: int, step: int) -> list[Window]:
    return _uniform(own, frames, step, own.closed_loop)


def _straight(own: Contexts, frames: int, step: int) -> list[Window]:
    """No window goes on at the first frame: it is moved back to end with the last one."""
    found, place = _uniform(own, frames, step, False), 0
    while place < len(found):
        turned = next((i for i in range(1, own.length) if _turns(found[place], i)), 0)
        if turned:
            wrapped = found[place][turned]
            gap = found[place][-1] - (frames - 1)
            found[place] = [(f - gap) % frames for f in found[place]]
            if wrapped not in found[(place + 1) % len(found)]:
                found.insert(place + 1, [*range(wrapped, wrapped + own.length)])
        place += 1
    return [window for i, window in enumerate(found) if window not in found[:i]]


def _turns(window: Window, place: int) -> bool:
    return window[place] < window[place - 1]


def _batched(own: Contexts, frames: int, step: int) -> list[Window]:
    return [
        [*range(start, min(start + own.length, frames))] for start in range(0, frames, own.length)
    ]


LOOPED = "looped_uniform"
SCHEDULES: dict[str, Callable[[Contexts, int, int], list[Window]]] = {
    "standard_static": _static,
    "standard_uniform": _straight,
    LOOPED: _looped,
    "batched": _batched,
}


def _pyramid(own: Contexts, window: Sequence[int], frames: int) -> np.ndarray:
    places = np.arange(len(window))
    return 1.0 + np.minimum(places, len(window) - 1 - places)


def _flat(own: Contexts, window: Sequence[int], frames: int) -> np.ndarray:
    return np.ones(len(window))


def _ramps(own: Contexts, window: Sequence[int], frames: int) -> np.ndarray:
    found, ramp = np.ones(len(window)), np.linspace(1e-37, 1, own.overlap)
    if own.overlap and min(window) > 0:
        found[: own.overlap] = ramp
    if own.overlap and max(window) < frames - 1:
        found[-own.overlap :] = ramp[::-1]
    return found


def _relative(own: Contexts, window: Sequence[int], frames: int) -> np.ndarray:
    first, last = window[0], window[-1]
    middle, half = (first + last) / 2, (last - first + 1e-2) / 2
    return np.maximum(1e-2, 1 - np.abs(np.asarray(window) - middle) / half)


FUSES: dict[str, Callable[[Contexts, Sequence[int], int], np.ndarray]] = {
    "pyramid": _pyramid,
    "flat": _flat,
    "overlap_linear": _ramps,
    "relative": _relative,
}
