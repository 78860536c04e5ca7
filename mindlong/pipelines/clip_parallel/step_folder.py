"""Latents saved between denoising steps, by frame range: a run can go on after a step, on another
number of processes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from mindlong.diffusion.samplers.loop import Keeper
from mindlong.parallel.comm import Comm, all_ok
from mindlong.utils import arrays, atomic, system
from mindlong.utils.log import get_logger

PART = re.compile(r"frames-(\d+)-(\d+)\.npz")
Part = tuple[int, int, Path]  # first frame, the one behind the last, file
Found = tuple[int, np.ndarray, np.ndarray | None]  # steps done, x, memory


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
        self.found = self._newest()  # with a word from everybody: nobody saves while another looks

    def after(self, steps: int, total: int, x: np.ndarray, memory: np.ndarray | None) -> None:
        """Save, if it is time. Steps before are removed once all processes have written this
        one.

        Raises:
            SystemFault: here, and a UserError on the other processes, where it cannot be written.
        """
        if not self.every or steps % self.every or steps == total:
            return
        here = self.folder / f"{steps:06d}"
        error = None
        if self.writes:
            try:
                path = here / f"frames-{self.frames.start}-{self.frames.stop}.npz"
                arrays.write_npz(path, x=x, **({} if memory is None else {"memory": memory}))
            except system.SystemFault as fault:
                error = fault
        all_ok(self.comm, error, f"saving step {steps}")
        if self.comm.rank == 0:
            for old in self._steps():
                if int(old.name) < steps:
                    atomic.remove_written(old, _is_part)

    def _steps(self) -> list[Path]:
        return sorted(p for p in self.folder.glob("*") if p.name.isdigit() and p.is_dir())

    def _newest(self) -> Found | None:
        """The newest step that every process can read its frames of."""
        mine = dict(self._readable())
        everybody = [set(json.loads(t)) for t in self.comm.all_gather_text(json.dumps([*mine]))]
        common = set.intersection(*everybody)
        return mine[max(common)] if common else None

    def _readable(self) -> Iterator[tuple[int, Found]]:
        """The steps whose parts are all there and can be read."""
        for step in reversed(self._steps()):
            parts = sorted(
                (*map(int, m.groups()), p) for p in step.iterdir() if (m := PART.fullmatch(p.name))
            )
            if not _cover(parts, self.total):
                continue
            try:
                yield int(step.name), (int(step.name), *self._cut(parts))
            except arrays.Damaged as error:
                get_logger().warning("step %d is passed over: %s", int(step.name), error)

    def _cut(self, parts: list[Part]) -> tuple[np.ndarray, np.ndarray | None]:
        """This process's frames of all parts' x and memory."""
        xs, memories = [], []
        for start, stop, path in parts:
            first, last = max(start, self.frames.start), min(stop, self.frames.stop)
            if first < last:
                held = arrays.read_npz(path, ["x"], ["memory"])
                if any(a.ndim != 5 or a.shape[2] != stop - start for a in held.values()):
                    raise arrays.Damaged(f"{path} does not hold frames {start} to {stop - 1}")
                xs.append(held["x"][:, :, first - start : last - start])
                if "memory" in held:
                    memories.append(held["memory"][:, :, first - start : last - start])
        if len(memories) not in (0, len(xs)) or len({a.shape[3:] for a in xs}) > 1:
            raise arrays.Damaged(f"the parts of {parts[0][2].parent} do not go together")
        return np.concatenate(xs, 2), np.concatenate(memories, 2) if memories else None


def _is_part(name: str) -> bool:
    return bool(PART.fullmatch(name) or atomic.ASIDE.fullmatch(name))


def _cover(parts: list[Part], total: int) -> bool:
    """Whether the parts, sorted, are frames 0 to total - 1, each once."""
    after = 0
    for start, stop, _ in parts:
        if start != after:
            return False
        after = stop
    return after == total
