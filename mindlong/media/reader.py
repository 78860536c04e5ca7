"""A stream of frames, whatever it comes from, and what is known of it so far."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np

from mindlong.media.limits import Limits
from mindlong.media.timing import Timing
from mindlong.utils.errors import InputFileError
from mindlong.utils.shown import shown


class Clock(Protocol):
    """When the frames of a file are shown."""

    def timing(self, count: int) -> Timing:
        """Rate and evenness of the first `count` frames."""

    def time(self, number: int) -> float:
        """When frame `number`, already read, is shown: seconds from the first."""


@dataclass
class VideoReader:
    """A stream of frames. Take it from `open_reader` and iterate once.

    `fps`, `notes` and `variable_rate` are of the frames read so far, and final after the last.

    Attributes:
        size: height and width in pixels. promised: frames that the header speaks of, if it does.
        count: frames read so far.
    """

    path: Path
    size: tuple[int, int]
    clock: Clock
    promised: int | None = None
    said: list[str] = field(default_factory=list)
    count: int = 0
    _frames: Iterator[np.ndarray] = field(default_factory=lambda: iter(()), repr=False)

    def __iter__(self) -> Iterator[np.ndarray]:
        return self._frames

    @property
    def fps(self) -> float:
        """Frames a second; the mean where they are not evenly spaced."""
        return self.clock.timing(self.count).fps

    @property
    def variable_rate(self) -> bool:
        """Whether the frames are not evenly spaced in time."""
        return not self.clock.timing(self.count).even

    @property
    def notes(self) -> list[str]:
        """Sentences on oddities: turned, transparent, uneven, damaged."""
        return [*self.said, *self.clock.timing(self.count).notes]

    def say(self, note: str) -> None:
        """Add a note, once."""
        if note not in self.said:
            self.said.append(note)

    def guarded(self, limits: Limits, frames: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
        """The frames, all of one size, at least one, not too many. Raises InputFileError."""
        for frame in frames:
            self._check(frame, limits)
            self.count += 1
            yield frame
        if not self.count:
            raise InputFileError(f"{shown(self.path)} holds no frame that can be decoded")
        if self.promised and self.count < self.promised:
            self.say(f"the file promises {self.promised} frames, {self.count} could be read")

    def _check(self, frame: np.ndarray, limits: Limits) -> None:
        if frame.shape[:2] != self.size:
            raise InputFileError(
                f"{shown(self.path)} changes its size from {self.size[0]}x{self.size[1]} to "
                f"{frame.shape[0]}x{frame.shape[1]} at frame {self.count}"
            )
        if self.count >= limits.frames or self.clock.time(self.count) >= limits.seconds:
            raise InputFileError(
                f"{shown(self.path)} is longer than the limit of {limits.frames} frames or "
                f"{limits.seconds:g} seconds; cut it first"
            )
