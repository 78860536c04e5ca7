"""The videos of a run, made by one process or several: which are done, their files, and what all of
them are shown and recorded with at the end.

A video that is done has a line in the journal in `.work`, and beside it the frames that the contact
sheet shows; both are removed when the run is finished. Legend: F frames, H W pixels, C colours.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mindlong.parallel.comm import all_ok
from mindlong.pipelines.dealt import Table
from mindlong.pipelines.journal import Journal
from mindlong.pipelines.results import SHEET, Results
from mindlong.utils import arrays, run_folder

if TYPE_CHECKING:
    from mindlong.pipelines.session import Session

WORK = ".work"  # in the run's folder, until everything is done
ROWS = 100  # videos of one contact sheet


class Videos:
    """What is done of a run's videos, and the finishing of the run.

    Args:
        session: of the run; its processes all make one of these.
        fps: of the files; None: as configured.

    Attributes:
        table: deals out work to the processes.
        first: this is the process that writes what is of the whole run.
    """

    def __init__(self, session: Session, fps: float | None = None) -> None:
        self.session, self.comm = session, session.comm
        self.first = self.comm.rank == 0
        self.folder = session.folder / WORK
        self.journal = Journal(self.folder, session.identity({}), self.comm.rank)
        self.table = Table(self.folder, self.comm)
        self.results = Results(session, fps)

    def is_done(self, name: str) -> bool:
        """Whether the files of a video are there, as they were written."""
        if name not in self.journal:
            return False
        try:
            arrays.read_npz(self.beside(name), ["frames"])
            for file, size in self.journal.done[name][-1]["sizes"].items():
                if _size(self.session.folder / file) != size:
                    raise arrays.Damaged(f"{self.session.folder / file} is not as it was written")
        except (arrays.Damaged, KeyError) as error:
            self.session.log.warning("%s; it is made again", error)
            self.journal.forget(name)
            return False
        return True

    def write(
        self,
        name: str,
        frames: Iterable[np.ndarray],
        count: int,
        finished: Callable[[np.ndarray], None] = lambda shown: None,
        as_given: bool = False,
        **kept: np.ndarray,
    ) -> None:
        """The files of a video of `count` uint8 frames (H, W, C), and the note that it is done.

        Args:
            finished: called with the frames (f, H, W, C) that a contact sheet shows, before that.
            as_given: they are not this run's, and are written as they are.
            kept: arrays for the end of the run, as `read` gives them.
        """
        before = len(self.results.files)
        shown = self.results.video(name, frames, count, as_given=as_given)
        finished(shown)
        arrays.write_npz(self.beside(name), frames=shown, **kept)
        written = self.results.files[before:]
        sizes = {path.name: _size(path) for path in written}
        self.journal.add(name, files=list(sizes), sizes=sizes)

    def read(self, name: str, *kept: str) -> list[np.ndarray]:
        """Arrays that `write` was given for the end."""
        held = arrays.read_npz(self.beside(name), kept)
        return [held[key] for key in kept]

    def deal(self, what: str, names: Sequence[str], work: Callable[[str], None]) -> None:
        """Make those videos of `names` that are not done, each by one of the processes."""
        self.table.share_out(what, names, work, self.is_done)
        self.journal.refresh()

    def finish(
        self,
        names: Sequence[str],
        titles: Sequence[str],
        facts: Callable[[], Mapping[str, Any]],
        sheet: bool = True,
        ours: Callable[[str], bool] = lambda name: False,
    ) -> None:
        """By the first process: contact sheets, the record, and the removal of what was only for
        going on.

        Args:
            names: of all videos, in the order in which they are shown.
            titles: what each shows.
            facts: makes the facts of the record.
            sheet: there is a contact sheet of all; otherwise each video has had its own.
            ours: other files in `.work` that go too.
        """
        error = None
        try:
            if self.first:
                self._finish(names, titles, facts, sheet, ours)
        except Exception as caught:  # the others must hear of it before it is raised
            error = caught
        all_ok(self.comm, error, "writing the record")

    def _finish(
        self,
        names: Sequence[str],
        titles: Sequence[str],
        facts: Callable[[], Mapping[str, Any]],
        sheet: bool,
        ours: Callable[[str], bool],
    ) -> None:
        done = [file for name in names for file in self.journal.done[name][-1]["files"]]
        self.results.files = [self.session.folder / file for file in done]
        if sheet:
            self._sheets(names, titles)
        self.results.finish(facts())
        self.table.close()
        beside = {self.beside(name).name for name in names}
        run_folder.unwrap(
            self.folder, lambda name: name in beside or ours(name) or run_folder.is_wrapping(name)
        )

    def _sheets(self, names: Sequence[str], titles: Sequence[str]) -> None:
        """One of up to ROWS videos; further ones are numbered."""
        for start in range(0, len(names), ROWS):
            part = slice(start, start + ROWS)
            rows = [self.read(name, "frames")[0] for name in names[part]]
            name = f"{SHEET}-{start // ROWS + 1:03d}" if start else SHEET
            self.results.sheet(rows, titles[part], name)

    def beside(self, name: str) -> Path:
        """Where the frames for the contact sheet lie until the end."""
        return self.folder / f"{name}.npz"


def _size(path: Path) -> int:
    """Bytes of a file, or of the files in a folder; -1 where there is nothing."""
    if path.is_dir():
        return sum(p.stat().st_size for p in path.iterdir())
    return path.stat().st_size if path.exists() else -1
