"""Running the jobs of a plan: batches of independent ones, spread over processes, each finished job
noted.

A job's batch and its row in that batch follow from the plan alone (node // rows, node % rows). What
is done already, which range is wanted or how many processes take part only leaves batches out, so
none of it can change a bit of the result. Legend: B rows of a batch, F frames of a run, C channels,
H W of a latent.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mindlong.parallel.comm import Comm, SerialComm, all_ok
from mindlong.utils.errors import ConfigError

if TYPE_CHECKING:
    from mindlong.pipelines.latents import Latents
    from mindlong.plans.hierarchy import Job, LongPlan


@dataclass(frozen=True)
class Batch:
    """Runs that share a call of the network: equally long, with the same places known.

    Attributes:
        jobs: one a row. Rows where `wanted` is False repeat another job and only fill the batch up.
    """

    level: int
    number: int
    jobs: tuple[Job, ...]
    wanted: tuple[bool, ...]

    @property
    def known(self) -> np.ndarray:
        """bool (B, F)."""
        return np.array([job.known_mask for job in self.jobs])


Work = Callable[
    [Batch, np.ndarray], np.ndarray
]  # (batch, known frames BFCHW, zero elsewhere) -> all frames BFCHW


def level_batches(jobs: Sequence[Job], rows: int) -> list[Batch]:
    """The jobs of one level in batches of at most `rows`; all batches of one kind of run are
    equally large.
    """
    if rows < 1:
        raise ConfigError(f"batch is {rows}; it must be at least 1")
    kinds: dict[tuple[bool, ...], list[Job]] = {}
    for job in jobs:
        if job.makes:
            kinds.setdefault(job.known_mask, []).append(job)
    batches: list[Batch] = []
    for alike in kinds.values():
        size = min(rows, len(alike))
        for start in range(0, len(alike), size):
            batches.append(_filled(alike[start : start + size], size, len(batches)))
    return batches


def _filled(jobs: Sequence[Job], size: int, number: int) -> Batch:
    missing = size - len(jobs)
    return Batch(
        jobs[0].level,
        number,
        (*jobs, *[jobs[0]] * missing),
        (True,) * len(jobs) + (False,) * missing,
    )


def count_batches(plan: LongPlan, rows: int, only: Collection[str] | None = None) -> int:
    """How many batches `run_plan` makes of a plan of which nothing is done yet."""
    return sum(len(of_interest(level_batches(jobs, rows), only)) for _, jobs in plan.levels())


def run_plan(
    plan: LongPlan,
    folder: Latents,
    work: Work,
    shape_CHW: Sequence[int],
    rows: int = 1,
    comm: Comm | None = None,
    only: Collection[str] | None = None,
    notice: Callable[[Batch, bool], None] = lambda batch, fresh: None,
) -> Iterator[int]:
    """Do what is not done yet; yields each level's number when all its jobs are there, on all
    processes at once.

    Args:
        work: makes a batch; of what it returns only the frames that the jobs make are kept.
        shape_CHW: of one latent.
        rows: largest batch.
        comm: the processes that share the work; `folder` is one place for all of them.
        only: names of the jobs wanted (see `mindlong.plans.hierarchy.jobs_for`); None: all.
        notice: called after each of this process's batches; False where it was done already.
    """
    comm = comm or SerialComm()
    comm.all_gather_text("ready")  # all have looked at what is there before one makes more
    for level, jobs in plan.levels():
        error = None
        batches = of_interest(level_batches(jobs, rows), only)
        try:
            for batch in batches[comm.rank :: comm.size]:
                notice(batch, _run_batch(batch, folder, work, shape_CHW))
        except Exception as caught:  # the other processes must hear of it before it is raised
            error = caught
        all_ok(comm, error, f"level {level} of the long video")
        folder.refresh()
        yield level


def of_interest(batches: Sequence[Batch], only: Collection[str] | None) -> list[Batch]:
    """The batches that hold a wanted job; a row that holds another repeats the first wanted one in
    its place.
    """
    if only is None:
        return list(batches)
    found = []
    for batch in batches:
        wanted = tuple(
            job.name in only and real for job, real in zip(batch.jobs, batch.wanted, strict=True)
        )
        if any(wanted):
            stand_in = batch.jobs[wanted.index(True)]
            jobs = tuple(
                job if keep else stand_in for job, keep in zip(batch.jobs, wanted, strict=True)
            )
            found.append(Batch(batch.level, batch.number, jobs, wanted))
    return found


def _run_batch(batch: Batch, folder: Latents, work: Work, shape_CHW: Sequence[int]) -> bool:
    if all(folder.has(job) for job in batch.jobs):
        return False
    latents = work(batch, np.stack([folder.known(job, shape_CHW) for job in batch.jobs]))
    for job, wanted, row in zip(batch.jobs, batch.wanted, latents, strict=True):
        if wanted:
            folder.put(job, row[[not known for known in job.known_mask]])
    return True
