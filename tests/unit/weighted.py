"""A cell whose one number depends on every value that another cell gives, so that its gradients are
those of all of them.
"""

import mindspore as ms
from mindspore import nn, ops


class Weighted(nn.Cell):
    """sum(cell(*inputs) * probe), whose gradient is what is compared."""

    def __init__(self, cell):
        super().__init__()
        self.cell = cell

    def construct(self, probe, *inputs):
        out = self.cell(*inputs)
        return ops.sum(out * probe), out


def shape_of(cell, *inputs):
    """Of a cell's output, found operator by operator: a graph for that alone is compiled as long as
    the one of its gradient.
    """
    mode = ms.get_context("mode")
    ms.set_context(mode=ms.PYNATIVE_MODE)
    try:
        return tuple(cell(*inputs).shape)
    finally:
        ms.set_context(mode=mode)
