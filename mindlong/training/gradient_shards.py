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
from mindlong.training.reduce import SumOverRanks
from mindlong.training.shards import Shares


class Scatter:
    """Called by all: (extras (2,), gradients) -> their sums over the processes, of the gradients
    those of this process's parameters.

    Args:
        reduce: says what travels together; here each message is a graph by itself, so that only
            one message's sums are in memory.
    """

    def __init__(self, reduce: SumOverRanks, shares: Shares) -> None:
        self.reduce, self.mine = reduce, frozenset(shares.mine)

    def __call__(self, extras: Tensor, gradients: list) -> tuple[Tensor, list[Tensor]]:
        """`gradients` is emptied as they are sent."""
        totals, kept = extras, []
        for i, ((start, end), bucket) in enumerate(
            zip(self.reduce.runs, self.reduce.buckets, strict=True)
        ):
            sent = gradients[start:end]
            gradients[start:end] = [None] * (end - start)
            sums = list(bucket(extras, *sent) if i == 0 else bucket(*sent))
            if i == 0:
                totals = sums.pop(0)
            kept += [s for place, s in enumerate(sums, start) if place in self.mine]
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
