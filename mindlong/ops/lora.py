"""Low-rank additions to layers while they are trained (arXiv 2106.09685): beside the product of a
layer stands factor * B A x, of which only A and B learn.

The two matrices are layers themselves, so that they compute in the type that the network does.
"""

from __future__ import annotations

import numpy as np
from mindspore import Tensor, nn

from mindlong.ops.conv import Conv2d, TemporalConv
from mindlong.ops.linear import Linear
from mindlong.ops.precision import Product

NAME = "lora"  # of the addition, in names of parameters: LAYER.lora.down.weight


class LowRank(nn.Cell):
    """factor * up(down(x)).

    Args:
        down, up: the layers; A has the kernel, the stride and the padding of the layer beside it.
        factor: alpha / rank.
    """

    def __init__(self, down: Product, up: Product, factor: float) -> None:
        super().__init__()
        self.down, self.up, self.factor = down, up, factor

    def construct(self, x: Tensor) -> Tensor:
        """As the layer beside it, without its bias."""
        return self.up(self.down(x)) * self.factor

    def folded(self, x_RCHW: Tensor, frames: int) -> Tensor:
        """As `TemporalConv.folded`."""
        return self.up.folded(self.down.folded(x_RCHW, frames), frames) * self.factor


def can_adapt(cell: nn.Cell) -> bool:
    """Whether a cell is a layer that can have such an addition."""
    return isinstance(cell, Linear | Conv2d | TemporalConv)


def adapt(cell: Product, rank: int, factor: float, draw: np.random.Generator) -> LowRank:
    """Put an addition beside a layer that is part of a network already; it adds nothing yet.

    The rank is at most the number of the layer's inputs or outputs. A starts as torch's layers do,
    U(-1 / sqrt(inputs), 1 / sqrt(inputs)), B at zero.
    """
    rank = min(rank, *cell.weight.shape[:2])
    made = LowRank(*_matrices(cell, rank), factor)
    made.down.init_weights(lambda leaf: draw)
    head = cell.weight.name.removesuffix("weight")
    cell.lora, cell.adapted = made, True
    for half in ("down", "up"):
        getattr(made, half).weight.name = f"{head}{NAME}.{half}.weight"
    return made


def _matrices(cell: Product, rank: int) -> tuple[Product, Product]:
    cout, cin = cell.weight.shape[:2]
    if isinstance(cell, Linear):
        return Linear(cin, rank, bias=False), Linear(rank, cout, bias=False)
    if isinstance(cell, TemporalConv):
        down = TemporalConv(cin, rank, cell.kernel_size, bias=False)
        return down, TemporalConv(rank, cout, 1, bias=False)
    down = Conv2d(cin, rank, cell.kernel_size, cell.stride, cell.padding, bias=False)
    return down, Conv2d(rank, cout, 1, bias=False)
