"""What a network whose text and video are one sequence reads of a video longer than those that it
was trained on.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mindlong.plans import kv_policy
from mindlong.utils.errors import ConfigError

PLACES = ("plain", "stretch", "fold")


@dataclass(frozen=True)
class Joint:
    """How a network reads whose text and video are one sequence.

    Attributes:
        text_reads: the frames that its text reads, a key/value policy that is the same for all
            frames.
        balance: text reads more frames than in training as if they were as many as there.
        places: of PLACES: which places of a table frames beyond the trained ones have.
    """

    text_reads: str = "all"
    balance: bool = True
    places: str = "plain"

    def read(self, frames: int) -> tuple[int, ...]:
        """The frames that text reads. Raises ConfigError where frames do not agree on them."""
        if self.text_reads == "all":
            return tuple(range(frames))
        rows = kv_policy.each_row(self.text_reads, frames)
        first = sorted(set(next(rows)))
        if any(sorted(set(row)) != first for row in rows):
            raise ConfigError(
                f"clip_parallel.text_reads is {self.text_reads!r}, which reads other frames from each "
                "frame; text has no place among them: take all, first, spread:N or global:N"
            )
        return tuple(first)

    def bias(self, frames: int, trained: int) -> float:
        """What is added to the scores of the frames that text reads."""
        count = len(self.read(frames))
        return float(np.log(trained / count)) if self.balance and count > trained else 0.0

    def places_of(self, frames: int, trained: int) -> np.ndarray:
        """float32 (frames,), the place of each frame in a table that was trained up to `trained`:
        its own number; all of them drawn together; or forth and back.
        """
        number = np.arange(frames, dtype=np.float32)
        if frames <= trained or self.places == "plain":
            return number
        last = np.float32(max(trained - 1, 1))
        if self.places == "stretch":
            return number * (last / np.float32(frames - 1))
        return last - np.abs(number % (2 * last) - last)
