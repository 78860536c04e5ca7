"""The latents of a long video in a folder: one file a job, written aside and renamed, read where
they are needed.

Legend: F frames, C channels, H W of a latent. A frame lies in the file of the job that made it and
nowhere else, so the end frames that segments share are the same bits by construction. Only a few
files are held in memory at a time.
"""

from __future__ import annotations

import zlib
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mindlong.pipelines.journal import Journal
from mindlong.plans.hierarchy import Job, LongPlan
from mindlong.utils import arrays
from mindlong.utils.errors import ConfigError, InputFileError
from mindlong.utils.log import get_logger

GIVEN = "given"


class LatentFolder:
    """The frames of a plan, as far as they are made.

    Args:
        folder: as for `Journal`, whose `identity` and `rank` follow.
        plan: says which job makes which frame.
        held: files kept in memory after reading.
    """

    def __init__(
        self,
        folder: str | Path,
        plan: LongPlan,
        identity: Mapping[str, Any],
        rank: int = 0,
        held: int = 8,
    ) -> None:
        self.plan, self.held = plan, held
        self.journal = Journal(folder, identity, rank)
        self.folder = self.journal.folder
        self._place = {f: (GIVEN, row) for row, f in enumerate(plan.given)}
        for job in plan.jobs:
            self._place.update({f: (job.name, row) for row, f in enumerate(job.makes)})
        self._files: OrderedDict[str, np.ndarray] = OrderedDict()
        known = {GIVEN, *(job.name for job in plan.jobs)}
        for name in [name for name in self.journal.done if name in known]:
            self._drop_damaged(name)

    def refresh(self) -> None:
        """Take in what other processes have finished."""
        self.journal.refresh()

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
            self._write(GIVEN, latents_FCHW)

    def put(self, job: Job, latents_FCHW: np.ndarray) -> None:
        """The frames `job.makes`, (F, C, H, W) float32. Frames that were there already stay as they
        are.
        """
        if len(latents_FCHW) != len(job.makes):
            raise ConfigError(
                f"{job.name} makes {len(job.makes)} frames; {len(latents_FCHW)} were given"
            )
        if not self.has(job):
            self._write(job.name, latents_FCHW)

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
        name, row = self._place.get(frame, (None, 0))
        if name is None or not (name in self._files or self._there(name)):
            raise InputFileError(f"frame {frame} of {self.folder} is not made yet")
        return self._read(name)[row]

    def _there(self, name: str) -> bool:
        return name in self.journal and self._path(name).exists()

    def _path(self, name: str) -> Path:
        return self.folder / "latents" / f"{name}.npy"

    def _write(self, name: str, latents: np.ndarray) -> None:
        latents = np.ascontiguousarray(latents, np.float32)
        arrays.write_npy(self._path(name), latents)
        self.journal.add(name, shape=list(latents.shape), crc=zlib.crc32(latents))

    def _read(self, name: str) -> np.ndarray:
        if name not in self._files:
            try:
                self._files[name] = self._checked(name)
            except arrays.Damaged as error:
                raise arrays.Damaged(
                    f"{error}; run the same command again and it is made anew"
                ) from None
            while len(self._files) > self.held:
                self._files.popitem(last=False)
        self._files.move_to_end(name)
        return self._files[name]

    def _checked(self, name: str) -> np.ndarray:
        path = self._path(name)
        latents = arrays.read_npy(path)
        facts = {"shape": list(latents.shape), "crc": zlib.crc32(np.ascontiguousarray(latents))}
        if facts not in self.journal.done[name]:
            raise arrays.Damaged(f"{path} is not what was written")
        return latents

    def _drop_damaged(self, name: str) -> None:
        try:
            self._checked(name)
        except arrays.Damaged as error:
            get_logger().warning("%s; it is made again", error)
            self.journal.forget(name)
            self._path(name).unlink(missing_ok=True)
