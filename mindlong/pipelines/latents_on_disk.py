"""The latents of a long video in a folder: one file a job, written aside and renamed, read where
they are needed.

Only a few files are held in memory at a time. Legend: F frames, C channels, H W of a latent.
"""

from __future__ import annotations

import zlib
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mindlong.pipelines.journal import Journal
from mindlong.pipelines.latents import GIVEN, Latents
from mindlong.utils import arrays
from mindlong.utils.log import get_logger

if TYPE_CHECKING:
    from mindlong.plans.hierarchy import LongPlan


class LatentFolder(Latents):
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
        super().__init__(plan)
        self.held = held
        self.journal = Journal(folder, identity, rank)
        self.folder = self.journal.folder
        self._files: OrderedDict[str, np.ndarray] = OrderedDict()
        known = {GIVEN, *(job.name for job in plan.jobs)}
        for name in [name for name in self.journal.done if name in known]:
            self._drop_damaged(name)

    def refresh(self) -> None:
        """Take in what other processes have finished."""
        self.journal.refresh()

    def __str__(self) -> str:
        return str(self.folder)

    def _readable(self, name: str) -> bool:
        return name in self._files or self._there(name)

    def _there(self, name: str) -> bool:
        return name in self.journal and self._path(name).exists()

    def _path(self, name: str) -> Path:
        return self.folder / "latents" / f"{name}.npy"

    def _write(self, name: str, latents: np.ndarray) -> None:
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
