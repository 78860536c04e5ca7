"""The sum of the gradients over all processes, in few large messages."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from mindspore import nn, ops
from mindspore.ops import operations as primitives

# numbers of a message (64 MB): small ones cost their latency, a single one a second copy of the
# whole gradient
BUCKET = 16 * 2**20


def buckets(sizes: Sequence[int], limit: int = BUCKET) -> list[tuple[int, int]]:
    """(start, end) of runs of neighbours with at most `limit` numbers each, or a single larger
    one.
    """
    runs, start, filled = [], 0, 0
    for i, size in enumerate(sizes):
        if i > start and filled + size > limit:
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
    """

    def __init__(self, sizes: Sequence[int], limit: int = BUCKET) -> None:
        super().__init__(auto_prefix=False)
        self.runs = tuple(buckets(sizes, limit))
        first = self.runs[0][1]
        others = (SumBucket(sizes[a:b]) for a, b in self.runs[1:])
        self.buckets = nn.CellList([SumBucket([2, *sizes[:first]]), *others])

    def construct(self, extras, gradients):
        head = self.buckets[0](extras, *gradients[: self.runs[0][1]])
        totals, sums = head[0], head[1:]
        for i in range(1, len(self.runs)):
            sums = sums + self.buckets[i](*gradients[self.runs[i][0] : self.runs[i][1]])
        return totals, sums
