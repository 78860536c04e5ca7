"""Latents saved between denoising steps, by frame range: a run can go on after a step, on another
number of processes.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import numpy as np

from mindlong.diffusion.samplers.loop import Keeper
from mindlong.parallel.comm import Comm
from mindlong.utils import atomic

PART = re.compile(r"frames-(\d+)-(\d+)\.npz")


class StepFolder(Keeper):
    """Saves every few steps what this process holds, and finds what was saved.

    Args:
        folder: one folder a saved step is made in it. All processes see the same.
        frames: held by this process.
        total: frames of the video.
        every: steps between two saves; 0: none.
        writes: whether this process's part is needed; others hold the same otherwise.
    """

    def __init__(
        self, folder: Path, frames: range, total: int, every: int, comm: Comm, writes: bool = True
    ) -> None:
        self.folder, self.frames, self.total, self.every = folder, frames, total, every
        self.comm, self.writes = comm, writes
        self.found = self._newest()
        comm.all_gather_text("read")  # nobody saves while another is still looking

    def after(self, steps: int, total: int, x: np.ndarray, memory: np.ndarray | None) -> None:
        """Save, if it is time. Steps before are removed once all processes have written this
        one.
        """
        if not self.every or steps % self.every or steps == total:
            return
        here = self.folder / f"{steps:06d}"
        if self.writes:
            with atomic.replacing(
                here / f"frames-{self.frames.start}-{self.frames.stop}.npz"
            ) as aside:
                np.savez(aside, x=x, **({} if memory is None else {"memory": memory}))
        self.comm.all_gather_text("saved")
        if self.comm.rank == 0:
            for old in self._steps():
                if int(old.name) < steps:
                    shutil.rmtree(old)

    def _steps(self) -> list[Path]:
        return sorted(p for p in self.folder.glob("*") if p.name.isdigit())

    def _newest(self) -> tuple[int, np.ndarray, np.ndarray | None] | None:
        for step in reversed(self._steps()):
            parts = sorted(
                (*map(int, m.groups()), p) for p in step.iterdir() if (m := PART.fullmatch(p.name))
            )
            if _cover(parts, self.total):
                return int(step.name), self._cut(parts, "x"), self._cut(parts, "memory")
        return None

    def _cut(self, parts: list[tuple[int, int, Path]], name: str) -> np.ndarray | None:
        """This process's frames of all parts' arrays."""
        cut = []
        for start, stop, path in parts:
            first, last = max(start, self.frames.start), min(stop, self.frames.stop)
            if first < last:
                with np.load(path, allow_pickle=False) as held:
                    if name not in held:
                        return None
                    cut.append(held[name][:, :, first - start : last - start])
        return np.concatenate(cut, 2)


def _cover(parts: list[tuple[int, int, Path]], total: int) -> bool:
    """Whether the parts, sorted, are frames 0 to total - 1, each once."""
    after = 0
    for start, stop, _ in parts:
        if start != after:
            return False
        after = stop
    return after == total
