"""Where samples come from: one question, `sample(index)`, whatever stands behind it.

`index` is the global sample number, counted over all steps and processes, so resuming, the number
of processes and the number of workers change nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np

Made = TypeVar("Made", covariant=True)


@dataclass(frozen=True)
class Sample:
    """A clip: `frames_FHWC` uint8, its caption ("" if none) and, if it has one, its embedding (D,)
    float32.
    """

    frames_FHWC: np.ndarray
    caption: str = ""
    embedding: np.ndarray | None = None


class Numbered(Protocol[Made]):
    """Anything that can be asked for what it makes by a global number."""

    def sample(self, index: int) -> Made:
        """The sample with global number `index`; equal calls give equal samples."""

    def describe(self) -> str:
        """One line for the opening of a run."""


class Source(Numbered[Sample], Protocol):
    """Anything that can be asked for a sample by its global number."""


class Reporting(Numbered[Made], Protocol[Made]):
    """One that other processes ask too: they say which files they could not read."""

    def report_bad(self, path: str, reason: str) -> None:
        """Note a file that cannot be used."""

    def report_note(self, path: str, said: str) -> None:
        """Note what is odd about a file."""


def to_network(frames_BFHWC: np.ndarray) -> np.ndarray:
    """uint8 frames (B, F, H, W, C) as float32 (B, C, F, H, W) in [-1, 1]."""
    return (
        np.ascontiguousarray(frames_BFHWC.transpose(0, 4, 1, 2, 3), dtype=np.float32) / 127.5 - 1.0
    )


def to_frames(video_BCFHW: np.ndarray) -> np.ndarray:
    """float (B, C, F, H, W) in [-1, 1], values outside cut off, as uint8 frames (B, F, H, W, C),
    rounded.
    """
    scaled = (np.clip(video_BCFHW, -1.0, 1.0) + 1.0) * 127.5
    return np.rint(scaled).astype(np.uint8).transpose(0, 2, 3, 4, 1)
