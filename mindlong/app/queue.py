"""The one queue of the page: jobs of all people as they came, so many at a time."""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from mindlong.app import child
from mindlong.app.job import Job, jobs_of
from mindlong.app.runs import forget_copies
from mindlong.utils import system
from mindlong.utils.errors import UserError
from mindlong.utils.log import get_logger

if TYPE_CHECKING:
    from mindlong.app.place import Place

EVERY = 0.5  # seconds between two looks
TIDY = 3600.0  # and between two removals of old copies


class Queue:
    """Starts what waits. What runs goes on without it, and is counted when it is found again.

    Args:
        place: of the page.
    """

    def __init__(self, place: Place) -> None:
        self.place = place
        self._children: list[subprocess.Popen] = []
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True, name="queue")

    def open(self) -> None:
        """Begin to start jobs."""
        self._thread.start()

    def close(self) -> None:
        """Start no more. Jobs that run go on."""
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join(timeout=10 * EVERY)

    def look(self) -> list[Job]:
        """Start as many waiting jobs as there is room for; returns them."""
        self._children = [each for each in self._children if each.poll() is None]  # reaped
        room = self.place.jobs - sum(job.is_alive() for job in self._every())
        started: list[Job] = []
        for job in self.waiting():
            if len(started) >= room:
                break
            if self._has_started(job):
                started.append(job)
        return started

    def waiting(self) -> list[Job]:
        """Those that wait, the next first."""
        found = [job for job in self._every() if (job.folder / "waiting").exists()]
        return sorted(found, key=lambda job: job.since("waiting"))

    def before(self, job: Job) -> int:
        """How many will be started before a waiting job."""
        return next((n for n, each in enumerate(self.waiting()) if each == job), 0)

    def _has_started(self, job: Job) -> bool:
        """Start a job. One that cannot be, for whatever reason, has failed: those behind it do not
        wait for it.
        """
        try:
            self._children.append(child.start(job, job.folder.parents[1] / "uploads"))
        except Exception as error:
            _fail(job, error)
            return False
        return True

    def _every(self) -> Iterator[Job]:
        for person in self.place.people():
            yield from jobs_of(person.jobs)

    def _watch(self) -> None:
        tidied = -TIDY
        while not self._ended.wait(EVERY):
            try:
                self.look()
                if time.monotonic() - tidied > TIDY:
                    tidied = time.monotonic()
                    forget_copies(self.place)
            except Exception as error:  # the queue outlives a full disk
                get_logger().warning("the queue: %s", error)


def _fail(job: Job, error: Exception) -> None:
    """Take a job out of the queue, and say in its folder why."""
    why = str(error) if isinstance(error, UserError) else _sentence(job, error)
    get_logger().warning("job %s cannot be started: %s", job.folder, why)
    try:
        job.unmark("waiting")
        with (job.folder / "out.txt").open("a", encoding="utf-8") as out:
            out.write(f"error: it cannot be started: {why}\n")
    except OSError as refused:  # it is tried again; the others have their turn meanwhile
        get_logger().warning("%s", system.sentence(refused, job.folder))


def _sentence(job: Job, error: Exception) -> str:
    """What went wrong in a line, whoever raised it."""
    if isinstance(error, OSError):
        return system.sentence(error, job.folder)
    return f"{type(error).__name__}: {' '.join(str(error).split())}"
