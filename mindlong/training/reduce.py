"""The sum of the gradients over all processes, in few large messages."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from mindspore import Tensor, nn, ops
from mindspore.ops import operations as primitives

# numbers of a message (64 MB): small ones cost their latency, a single one a second copy of the
# whole gradient
BUCKET = 16 * 2**20
# numbers of an array that travels by itself: joined with others it would be copied twice more, and
# a graph keeps what it makes
ALONE = 2**20


def buckets(sizes: Sequence[int], limit: int = BUCKET, alone: int = ALONE) -> list[tuple[int, int]]:
    """(start, end) of runs of neighbours with at most `limit` numbers each; an array of `alone` or
    more is a run of its own.
    """
    runs, start, filled, alone = [], 0, 0, min(limit, alone)
    for i, size in enumerate(sizes):
        if i > start and (filled + size > limit or size >= alone or filled >= alone):
            runs.append((start, i))
            start, filled = i, 0
        filled += size
    return [*runs, (start, len(sizes))]


class SumBucket(nn.Cell):
    """construct(*arrays) -> their sums over all processes; arrays of the given sizes travel as one
    message.
    """

    def __init__(self, sizes: Sequence[int]) -> None:
        super().__init__(auto_prefix=False)
        self.starts = (0, *itertools.accumulate(sizes[:-1]))
        self.sum, self.slice, self.each = primitives.AllReduce(), primitives.Slice(), ops.HyperMap()

    def construct(self, *arrays):
        if len(arrays) == 1:
            return (self.sum(arrays[0]),)
        total = self.sum(ops.concat(self.each(self._flat, arrays)))
        return self.each(ops.partial(self._cut, total), self.starts, arrays)

    def _flat(self, array):
        return array.reshape(-1)

    def _cut(self, total, start, array):
        # a slice each: what splits into unequal parts has no CPU kernel
        return self.slice(total, (start,), (array.size,)).reshape(array.shape)


class SumOverRanks(nn.Cell):
    """construct(extras, gradients) -> the same, summed over all processes. `extras` is a float32
    vector of two.

    Args:
        ordered: each message waits for the one before. Needed where the processes' graphs differ in
            what they do with the sums: the order of independent messages follows from the whole
            graph, and processes that send in different orders add up what does not belong
            together, or crash.
    """

    def __init__(self, sizes: Sequence[int], limit: int = BUCKET, ordered: bool = False) -> None:
        super().__init__(auto_prefix=False)
        runs = buckets(sizes, limit)
        if sizes[0] >= min(limit, ALONE):  # the extras do not make it travel in company
            runs = [(0, 0), *runs]
        self.runs, first, self.ordered = tuple(runs), runs[0][1], ordered
        others = (SumBucket(sizes[a:b]) for a, b in self.runs[1:])
        self.buckets = nn.CellList([SumBucket([2, *sizes[:first]]), *others])

    def construct(self, extras, gradients):
        head = self.buckets[0](extras, *gradients[: self.runs[0][1]])
        totals, sums, before = head[0], head[1:], head[0]
        for i in range(1, len(self.runs)):
            run = gradients[self.runs[i][0] : self.runs[i][1]]
            if self.ordered:
                run = (ops.depend(run[0], before),) + run[1:]
            found = self.buckets[i](*run)
            sums, before = sums + found, found[0]
        return totals, sums


class SumAlone:
    """The communication of a step without the step: zeros of the gradients' sizes are summed over
    all processes, and what these send each other after an update is sent. To be called by all.

    Args:
        sizes: numbers of each gradient. ordered: as `SumOverRanks` takes it.
        publish: sends the parameters that this process updates, where each has a share; it changes
            nothing. None: all have all.
    """

    def __init__(
        self, sizes: Sequence[int], ordered: bool, publish: Callable[[], Any] | None = None
    ) -> None:
        self.sizes, self.publish = sizes, publish
        self.sum = SumOverRanks(sizes, ordered=ordered)
        self._arrays: tuple[Tensor, ...] = ()

    def __call__(self) -> None:
        """Do it once, and wait for it."""
        if not self._arrays:
            self._arrays = tuple(Tensor(np.zeros(n, np.float32)) for n in (2, *self.sizes))
        totals, sums = self.sum(self._arrays[0], self._arrays[1:])
        for array in (totals, *sums):
            array.asnumpy()
        if self.publish is not None:
            self.publish()
