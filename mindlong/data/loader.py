"""Samples made ahead of time by background processes, in the order they will be asked for.

A `Loader` is a `data.source.Source` around another one: `sample(index)` gives what the inner source
gives, sooner. Told what will be asked (`expect`), it keeps at most `ahead` samples on their way.
The order of answers never depends on the processes.

A process that dies or hangs takes one clip with it, never the training: it is started again, and
the file on which it died twice, or hung, is a bad one.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from concurrent import futures
from dataclasses import dataclass
from typing import Generic

from mindlong.data.processes import Lost, WorkerProcess
from mindlong.data.source import Made, Reporting
from mindlong.utils.errors import ConfigError, UserError
from mindlong.utils.log import get_logger
from mindlong.utils.shown import shown

PATIENCE = 150.0  # seconds without a sign of life; a decoder is given 60 for a frame
LOOK = 1.0  # seconds between two looks at a process that is waited for
DEATHS = 2  # on one file, before it is blamed


@dataclass
class _Pending:
    """A sample on its way from the process in place `slot`."""

    index: int
    slot: int
    future: futures.Future


class Loader(Generic[Made]):
    """`with Loader(source, workers=2) as loader: loader.expect(numbers); loader.sample(n)`.

    Args:
        source: what the samples come from; it is sent to the processes, so it must be picklable.
        workers: processes; 0 makes every sample in the caller.
        ahead: samples on their way or waiting, the bound of the memory.
        patience: seconds that a process may be silent for.

    Attributes:
        waited: seconds the caller has waited for samples so far.
        served: samples given so far.
    """

    def __init__(
        self, source: Reporting[Made], workers: int = 2, ahead: int = 32, patience: float = PATIENCE
    ) -> None:
        if workers < 0 or ahead < 1:
            raise ConfigError(
                f"a loader of {workers} processes with {ahead} samples ahead cannot be made"
            )
        self.source, self.ahead, self.patience = source, ahead, patience
        self.waited, self.served = 0.0, 0
        self._reports: deque[tuple[dict[str, str], dict[str, list[str]]]] = deque()
        self._deaths: Counter[str] = Counter()
        self._workers = [self._started() for _ in range(workers)]
        self._order: Iterator[int] = iter(())
        self._coming: deque[_Pending] = deque()

    def __enter__(self) -> Loader[Made]:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def expect(self, numbers: Iterable[int]) -> None:
        """Say which samples will be asked for, in order; an endless iterator is fine. Earlier
        expectations are dropped.
        """
        self._coming.clear()
        self._order = iter(numbers)
        self._fill()

    def sample(self, index: int) -> Made:
        """The source's sample `index`; quick if it was expected next, made now otherwise."""
        start = time.monotonic()
        try:
            sample = self._made(index)
        finally:  # the reason for a bad clip comes before the error that it leads to
            self._pass_on()
        self.waited += time.monotonic() - start
        self.served += 1
        return sample

    def describe(self) -> str:
        """One line for the opening of a run."""
        return f"{self.source.describe()}; {len(self._workers)} background processes"

    def close(self) -> None:
        """End the processes."""
        self._coming.clear()
        self._order = iter(())
        workers, self._workers = self._workers, []
        for worker in workers:
            worker.close()

    def _made(self, index: int) -> Made:
        if not self._workers:
            return self.source.sample(index)
        if not self._coming or self._coming[0].index != index:
            return self._answer(self._asked(index))
        pending = self._coming.popleft()
        try:
            return self._answer(pending)
        finally:
            self._fill()

    def _answer(self, pending: _Pending) -> Made:
        """Wait for a sample, through the deaths of the processes that make it."""
        while True:
            try:
                return self._awaited(pending)
            except Lost as lost:
                self._bury(pending, lost)

    def _awaited(self, pending: _Pending) -> Made:
        while True:
            try:
                return pending.future.result(LOOK)
            except futures.TimeoutError:
                worker = self._workers[pending.slot]
                if worker.silent_for() > self.patience:
                    worker.give_up()

    def _bury(self, pending: _Pending, lost: Lost) -> None:
        """Put another process in the place of one that is gone, and ask it for all that is due."""
        slot, worker = pending.slot, self._workers[pending.slot]
        if worker.lost:  # else it has a successor already
            worker.close()
            self._blame(lost, bool(worker.overdue))
            self._workers[slot] = self._started()
        for due in (pending, *(p for p in self._coming if p.slot == slot)):
            if due.future.done() and isinstance(due.future.exception(), Lost):
                due.future = self._workers[slot].submit(due.index)

    def _blame(self, lost: Lost, overdue: bool) -> None:
        """Name the file that a process died on: at once where it hung, else at the second time (the
        first may have been the system's doing).
        """
        self._deaths[lost.at] += 1
        blamed = overdue or self._deaths[lost.at] >= DEATHS
        if not blamed:
            get_logger().warning(
                "a process that reads clips %s%s; it is started again", lost.how, _where(lost.at)
            )
        elif lost.at:
            why = f"{shown(lost.at)} cannot be decoded: the process that read it {lost.how}"
            self.source.report_bad(lost.at, why)
        else:
            raise UserError(
                f"the processes that read clips cannot be kept running: one {lost.how} and so did the next; "
                "train.workers=0 reads clips without them"
            )

    def _started(self) -> WorkerProcess:
        return WorkerProcess(self.source, lambda bad, notes: self._reports.append((bad, notes)))

    def _asked(self, index: int) -> _Pending:
        """A file stays with the process that has decoded it."""
        slot = getattr(self.source, "home", int)(index) % len(self._workers)
        return _Pending(index, slot, self._workers[slot].submit(index))

    def _fill(self) -> None:
        while self._workers and len(self._coming) < self.ahead:
            index = next(self._order, None)
            if index is None:
                return
            self._coming.append(self._asked(index))

    def _pass_on(self) -> None:
        """Tell the source of bad files and oddities found elsewhere: it names each once, and
        counts.
        """
        while self._reports:
            bad, notes = self._reports.popleft()
            for path, reason in bad.items():
                self.source.report_bad(path, reason)
            for path, said in notes.items():
                for note in said:
                    self.source.report_note(path, note)


def _where(path: str) -> str:
    return f" while it read {shown(path)}" if path else ""
