"""The latents of a long video by the plan that makes them: a frame belongs to the job that made it
and to nothing else, so the end frames that segments share are the same bits by construction.

Legend: F frames, C channels, H W of a latent.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from mindlong.utils.errors import ConfigError, InputFileError

if TYPE_CHECKING:
    from mindlong.plans.hierarchy import Job, LongPlan

GIVEN = "given"


class Latents(ABC):
    """The frames of a plan, as far as they are made.

    Args:
        plan: says which job makes which frame.
    """

    def __init__(self, plan: LongPlan) -> None:
        self.plan = plan
        self._place = {f: (GIVEN, row) for row, f in enumerate(plan.given)}
        for job in plan.jobs:
            self._place.update({f: (job.name, row) for row, f in enumerate(job.makes)})

    def refresh(self) -> None:
        """Take in what other processes have finished."""
        return

    def has(self, job: Job) -> bool:
        """Whether the frames that `job` makes are there."""
        return not job.makes or self._there(job.name)

    def has_frame(self, frame: int) -> bool:
        """Whether this frame is there."""
        return frame in self._place and self._there(self._place[frame][0])

    def give(self, latents_FCHW: np.ndarray) -> None:
        """The frames that exist before the first job, in the order of `plan.given`."""
        if len(latents_FCHW) != len(self.plan.given):
            raise ConfigError(
                f"{len(latents_FCHW)} frames were given; the plan starts from {len(self.plan.given)}"
            )
        if not self._there(GIVEN):
            self._write(GIVEN, np.ascontiguousarray(latents_FCHW, np.float32))

    def put(self, job: Job, latents_FCHW: np.ndarray) -> None:
        """The frames `job.makes`, (F, C, H, W) float32. Frames that were there already stay as they
        are.
        """
        if len(latents_FCHW) != len(job.makes):
            raise ConfigError(
                f"{job.name} makes {len(job.makes)} frames; {len(latents_FCHW)} were given"
            )
        if not self.has(job):
            self._write(job.name, np.ascontiguousarray(latents_FCHW, np.float32))

    def frames(self, indices: Sequence[int]) -> np.ndarray:
        """(len(indices), C, H, W) float32.

        Raises:
            InputFileError: a frame is not made yet, or its file is gone or damaged.
        """
        return np.stack([self._frame(f) for f in indices])

    def known(self, job: Job, shape_CHW: Sequence[int]) -> np.ndarray:
        """All frames of a job (F, C, H, W), those it has to make being zero."""
        latents = np.zeros((len(job.frames), *shape_CHW), np.float32)
        for place, frame in enumerate(job.frames):
            if job.known_mask[place]:
                latents[place] = self._frame(frame)
        return latents

    def _frame(self, frame: int) -> np.ndarray:
        name, row = self._place.get(frame, ("", 0))
        if not name or not self._readable(name):
            raise InputFileError(f"frame {frame} of {self} is not made yet")
        return self._read(name)[row]

    def _readable(self, name: str) -> bool:
        return self._there(name)

    @abstractmethod
    def _there(self, name: str) -> bool:
        """Whether a job's frames are finished."""

    @abstractmethod
    def _write(self, name: str, latents: np.ndarray) -> None:
        """Keep a job's frames (F, C, H, W)."""

    @abstractmethod
    def _read(self, name: str) -> np.ndarray:
        """A job's frames."""


class LatentMemory(Latents):
    """The frames of a plan in memory; nothing is written."""

    def __init__(self, plan: LongPlan) -> None:
        super().__init__(plan)
        self._held: dict[str, np.ndarray] = {}

    def __str__(self) -> str:
        return "the video"

    def _there(self, name: str) -> bool:
        return name in self._held

    def _write(self, name: str, latents: np.ndarray) -> None:
        self._held[name] = latents.copy()

    def _read(self, name: str) -> np.ndarray:
        return self._held[name]
