"""When frames are shown: the rate that keeps a file's length, and whether the frames are evenly
spaced.

The times of the frames are believed, a header only as far as it agrees with them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeGuard

import numpy as np

USUAL_RATE = 25.0  # for files that state none
SLOWEST, FASTEST = 0.01, 1000.0  # frames a second that are believed
SLACK = 0.002  # seconds: containers round times to a thousandth


@dataclass(frozen=True)
class Timing:
    """Frames a second, whether the frames are evenly spaced, and sentences on oddities."""

    fps: float
    even: bool = True
    notes: tuple[str, ...] = ()


@dataclass
class Steady:
    """Frames that have one rate by definition."""

    fps: float

    def timing(self, count: int) -> Timing:
        """Of the first `count` frames."""
        return Timing(self.fps)

    def time(self, number: int) -> float:
        """When frame `number` is shown, in seconds from the first."""
        return number / self.fps


@dataclass
class Delays:
    """Frames that each say for how many milliseconds they are shown (GIF, APNG, WebP)."""

    delays: list[int] = field(default_factory=list)
    ends: list[float] = field(default_factory=list)

    def append(self, delay: int) -> None:
        """Add a frame; a delay of 0 or 10 ms is shown as 100 ms by every viewer."""
        self.delays.append(delay)
        self.ends.append((self.ends[-1] if self.ends else 0.0) + (delay if delay > 10 else 100))

    def timing(self, count: int) -> Timing:
        """Of the first `count` frames: the mean rate."""
        count = max(min(count, len(self.delays)), 1)
        fps, least, most = (
            1000 * count / self.ends[count - 1],
            min(self.delays[:count]),
            max(self.delays[:count]),
        )
        if most - least <= 10:
            return Timing(fps)
        said = (
            f"frames are shown for {least} to {most} ms; the mean rate, {fps:.4g} a second, is used"
        )
        return Timing(fps, False, (said,))

    def time(self, number: int) -> float:
        """When frame `number` is shown, in seconds from the first."""
        return self.ends[number - 1] / 1000 if number else 0.0


@dataclass
class Stamps:
    """Frames with time stamps, as a container has them; `stated` is the rate of its header."""

    stated: float | None
    times: list[float | None] = field(default_factory=list)
    _known: tuple[int, Timing] | None = None

    def timing(self, count: int) -> Timing:
        """Of the first `count` frames."""
        if self._known is None or self._known[0] != count:
            self._known = count, timing(self.times[:count], self.stated)
        return self._known[1]

    def time(self, number: int) -> float:
        """When frame `number` is shown, in seconds from the first; by the rate where no time is
        known.
        """
        known = number < len(self.times)
        first, here = (self.times[0], self.times[number]) if known else (None, None)
        if first is None or here is None:
            return number / self.timing(1).fps
        return here - first


def timing(times: Sequence[float | None], stated: float | None) -> Timing:
    """The rate of frames at `times` (seconds, None where unknown) in a file that states a rate."""
    if len(times) < 2 or None in times:
        return _by_header(stated)
    stamps = np.array(times, float)
    gaps = np.diff(stamps)
    if gaps.min() <= 0:
        found = _by_header(stated)
        said = "the times of its frames repeat or go back; even spacing is assumed"
        return Timing(found.fps, False, (*found.notes, said))
    if not _even(stamps, gaps):
        fps = len(stamps) / (stamps[-1] - stamps[0] + gaps[-1])
        said = (
            f"frames are {1000 * gaps.min():.0f} to {1000 * gaps.max():.0f} ms apart; the mean rate, "
            f"{fps:.4g} a second, is used and keeps its length"
        )
        return Timing(float(fps), False, (said,))
    return _of_even(float(1 / gaps.mean()), stated)


def believed(rate: float | None) -> TypeGuard[float]:
    """Whether a number of frames a second can be meant."""
    return rate is not None and np.isfinite(rate) and SLOWEST <= rate <= FASTEST


def _even(stamps: np.ndarray, gaps: np.ndarray) -> bool:
    """No gap stands out, and no frame is most of a gap away from where even spacing puts it."""
    usual, mean = np.median(gaps), gaps.mean()
    if gaps.max() > 1.5 * usual + SLACK or gaps.min() < 0.5 * usual - SLACK:
        return False
    away = np.abs(stamps - stamps[0] - np.arange(len(stamps)) * mean)
    return bool(away.max() <= 0.75 * mean + SLACK)


def _of_even(measured: float, stated: float | None) -> Timing:
    if not believed(measured):
        return _by_header(stated if stated and not believed(stated) else measured)
    if believed(stated) and abs(stated / measured - 1) < 0.01:
        return Timing(stated)
    if not stated:
        return Timing(measured)
    doubt = "" if believed(stated) else ", which is not believed"
    said = (
        f"it states {stated:g} frames a second{doubt}; the times of its frames say {measured:.4g}"
    )
    return Timing(measured, True, (said,))


def _by_header(stated: float | None) -> Timing:
    if believed(stated):
        return Timing(float(stated))
    if not stated:
        return Timing(USUAL_RATE, True, (f"it states no frame rate; {USUAL_RATE:g} is assumed",))
    said = f"it states {stated:g} frames a second, which is not believed; {USUAL_RATE:g} is assumed"
    return Timing(USUAL_RATE, True, (said,))
