"""The next batch is made in a background thread while the step runs."""

from __future__ import annotations

import time
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import TYPE_CHECKING

import numpy as np

from mindlong.utils.errors import ConfigError

if TYPE_CHECKING:
    from mindlong.training.task import Task


def share(step: int, batch_size: int, rank: int, size: int) -> list[int]:
    """Global numbers of the samples that process `rank` of `size` takes of the batch of `step`, in
    order.

    Shares differ by one sample at most; together, whatever `size`, they are the batch_size samples
    from step * batch_size on.

    Raises:
        ConfigError: more processes than samples.
    """
    if size > batch_size:
        raise ConfigError(
            f"train.batch_size is {batch_size}, but there are {size} processes; each needs a sample"
        )
    start, end = rank * batch_size // size, (rank + 1) * batch_size // size
    return [step * batch_size + i for i in range(start, end)]


class Batches:
    """`with Batches(...) as batches: arrays, waited = batches.next()` for step, step + 1, ... up to
    `end`.

    Args:
        task: gives the arrays of a step.
        step: the first step.
        end: the step not to be made any more.
        batch_size: samples of a step over all processes.
    """

    def __init__(
        self, task: Task, step: int, end: int, batch_size: int, rank: int = 0, size: int = 1
    ) -> None:
        self._task, self._step, self._end = task, step, end
        self._batch_size, self._rank, self._size = batch_size, rank, size
        share(step, batch_size, rank, size)
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="batches")
        self._coming: Future | None = None

    def __enter__(self) -> Batches:
        expect = getattr(getattr(self._task, "source", None), "expect", None)
        if expect is not None:  # a loader: let its processes begin
            expect(n for step in range(self._step, self._end) for n in self._share(step))
        self._coming = self._order()
        return self

    def __exit__(
        self, kind: type | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)

    def next(self) -> tuple[tuple[np.ndarray, ...], float]:
        """The arrays of the next step, and the seconds waited for them."""
        start = time.monotonic()
        arrays = self._coming.result()
        self._coming = self._order()
        finish = getattr(self._task, "finish", None)  # what only this thread may do
        arrays = finish(arrays) if finish is not None else arrays
        return arrays, time.monotonic() - start

    def _order(self) -> Future | None:
        if self._step >= self._end:
            return None
        samples = self._share(self._step)
        self._step += 1
        return self._pool.submit(self._task.inputs, self._step - 1, samples)

    def _share(self, step: int) -> list[int]:
        return share(step, self._batch_size, self._rank, self._size)
