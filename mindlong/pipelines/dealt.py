"""Independent pieces of a run, each made by whichever process is free first.

A process takes a piece by creating a file of its name exclusively, in the folder of the run, which
all processes share; no other way to talk is needed, so a slow process holds nobody up and machines
need nothing else in common. What a piece is does not depend on how many processes there are, so
their number changes no bit. Claims are of one job: those of a job that died count for nothing.
"""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from mindlong.parallel.comm import Comm, all_ok
from mindlong.utils import interrupts, run_folder
from mindlong.utils.system import explained

T = TypeVar("T")
SUFFIX = ".claim"
POLL = 0.2  # seconds between two looks at who is still at work


class Table:
    """Where the processes of one job take pieces from.

    Args:
        folder: shared by all processes; what is made in it is removed by `close`.
        comm: the processes. All of them make the table, and at the same time.
    """

    def __init__(self, folder: Path, comm: Comm) -> None:
        self.comm, self.folder = comm, folder
        if comm.size > 1:
            job = comm.all_gather_text(uuid.uuid4().hex[:12])[0]
            self.folder = folder / f"claims-{job}"

    def share_out(
        self,
        what: str,
        pieces: Sequence[T],
        work: Callable[[T], None],
        is_done: Callable[[T], bool] = lambda piece: False,
    ) -> None:
        """Do every piece once, here or elsewhere; returns when all are done everywhere.

        Args:
            what: of one word; a phase of the job, for sentences and the names of claims.
            pieces: the same on every process, in the same order.
            is_done: whether an earlier job has made a piece.

        Raises:
            UserError: another process failed; what it said. Whatever `work` raises.
        """
        if self.comm.size == 1:
            for piece in pieces:
                if not is_done(piece):
                    work(piece)
            return
        error = None
        try:
            with explained(self.folder):
                self.folder.mkdir(parents=True, exist_ok=True)
            self._take(what, pieces, work, is_done)
        except Exception as caught:  # the others must hear of it before it is raised
            error = caught
        self._wait(what, error)
        all_ok(self.comm, error, what)

    def close(self) -> None:
        """Remove the claims of this job, and of jobs that died. By one process, when all are
        done.
        """
        if self.comm.size == 1 or self.comm.rank:
            return
        for claims in self.folder.parent.glob("claims-*"):
            run_folder.unwrap(claims)

    def _take(
        self,
        what: str,
        pieces: Sequence[T],
        work: Callable[[T], None],
        is_done: Callable[[T], bool],
    ) -> None:
        for number, piece in enumerate(pieces):
            if self._failed(what):
                return
            if not is_done(piece) and self._claim(f"{what}-{number:06d}"):
                work(piece)

    def _claim(self, name: str) -> bool:
        """Whether the piece is this process's."""
        path = self.folder / f"{name}{SUFFIX}"
        with explained(path):
            try:
                os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
            except FileExistsError:
                return False
        return True

    def _failed(self, what: str) -> bool:
        return (self.folder / f"{what}-failed{SUFFIX}").exists()

    def _wait(self, what: str, error: Exception | None) -> None:
        """Until every process has left the table: a collective's own patience is limited."""
        if error is not None:
            self._say_failed(what, error)
            return
        self._claim(f"{what}-left-{self.comm.rank:04d}")
        while len(list(self.folder.glob(f"{what}-left-*{SUFFIX}"))) < self.comm.size:
            if self._failed(what):
                return
            interrupts.check()
            time.sleep(POLL)

    def _say_failed(self, what: str, error: Exception) -> None:
        try:
            self._claim(f"{what}-failed")
        except Exception:  # nobody would hear: the launcher ends the others when this one ends
            raise error from None
