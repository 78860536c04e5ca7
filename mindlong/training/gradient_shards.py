"""Gradients spread over the processes (ZeRO, stage 2, arXiv 1910.02054): after every part of an
accumulated batch they are summed over the processes, message by message, and each process keeps the
sums of its own parameters alone.

MindSpore has no reduce-scatter on a CPU, and a share is whole parameters: a message is an
all-reduce of which each keeps what is its own. The messages are those of an unsharded training, so
that the bits are too.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from mindspore import Tensor, nn, ops
from mindspore.ops import operations as primitives

from mindlong.ops.exact import sum_of_squares
from mindlong.training.reduce import SumBucket, SumOverRanks
from mindlong.training.shards import Shares


class OwnSums(nn.Cell):
    """construct(*arrays) -> those of the message's sums that a process keeps; one number where it
    keeps none. What a graph gives stays in memory until it runs again: it gives no others.

    Args:
        own: places in the message.
    """

    def __init__(self, bucket: SumBucket, own: Sequence[int]) -> None:
        super().__init__(auto_prefix=False)
        self.bucket, self.own, self.slice = bucket, tuple(own), primitives.Slice()

    def construct(self, *arrays):
        sums = self.bucket(*arrays)
        kept = ()
        for i in self.own:
            kept = kept + (sums[i],)
        if len(kept) == 0:
            return (self.slice(sums[0].reshape(-1), (0,), (1,)),)
        return kept


class Scatter:
    """Called by all: (extras (2,), gradients) -> their sums over the processes, of the gradients
    those of this process's parameters.

    Args:
        reduce: says what travels together; here each message is a graph by itself, so that only
            one message's sums are in memory.
    """

    def __init__(self, reduce: SumOverRanks, shares: Shares) -> None:
        mine = frozenset(shares.mine)
        self.runs = reduce.runs
        self.own = [[i - start for i in range(start, end) if i in mine] for start, end in self.runs]
        first, *others = self.own
        places = [[0, *(i + 1 for i in first)], *others]  # the extras travel in front
        self.sums = [OwnSums(b, own) for b, own in zip(reduce.buckets, places, strict=True)]

    def __call__(self, extras: Tensor, gradients: list) -> tuple[Tensor, list[Tensor]]:
        """`gradients` is emptied as they are sent."""
        totals, kept = extras, []
        for i, ((start, end), own) in enumerate(zip(self.runs, self.own, strict=True)):
            sent = gradients[start:end]
            gradients[start:end] = [None] * (end - start)
            found = list(self.sums[i](extras, *sent) if i == 0 else self.sums[i](*sent))
            if i == 0:
                totals = found.pop(0)
            kept += found if own else []
        return totals, kept


class Squares(nn.Cell):
    """construct(*gradients) -> the sum of squares of each, float32 (gradients,)."""

    def __init__(self) -> None:
        super().__init__(auto_prefix=False)
        self.each = ops.HyperMap()

    def construct(self, *gradients):
        return ops.concat(self.each(sum_of_squares, gradients))


class WholeNorm(nn.Cell):
    """construct(squares (all gradients,), scale) -> the norm of the whole gradient; every process
    gives the squares of its own and zeros.
    """

    def __init__(self) -> None:
        super().__init__(auto_prefix=False)
        self.sum = primitives.AllReduce()

    def construct(self, squares, scale):
        return ops.sqrt(self.sum(squares).sum()) / scale


class NormOfShares:
    """The norm of a gradient of which each process holds its share: called by all."""

    def __init__(self, shares: Shares) -> None:
        self.shares, self.squares, self.norm = shares, Squares(), WholeNorm()

    def __call__(self, own: Sequence[Tensor], scale: Tensor) -> Tensor:
        found = np.zeros(len(self.shares.owners), np.float32)
        found[list(self.shares.mine)] = self.squares(*own).asnumpy()
        return self.norm(Tensor(found), scale)
