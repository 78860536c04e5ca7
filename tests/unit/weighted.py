"""A cell whose one number depends on every value that another cell gives, so that its gradients are
those of all of them.
"""

from mindspore import nn, ops


class Weighted(nn.Cell):
    """sum(cell(*inputs) * probe), whose gradient is what is compared."""

    def __init__(self, cell):
        super().__init__()
        self.cell = cell

    def construct(self, probe, *inputs):
        out = self.cell(*inputs)
        return ops.sum(out * probe), out
