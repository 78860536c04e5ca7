"""What all norms share in their plain form: the numbers less their mean, over their deviation.

MindSpore's own gradient of a mean writes it out at the size of what was averaged, twice in a norm;
here the gradient is the closed form, whose means are broadcast where they are used.
"""

from __future__ import annotations

from mindspore import Tensor, nn, ops


class Normalised(nn.Cell):
    """(x - mean) / sqrt(variance + eps) over `axes`: construct(x float32) -> x's shape, and
    1 / sqrt(variance + eps) for the gradient, to which no gradient is handed back.
    """

    def __init__(self, axes: tuple[int, ...], eps: float) -> None:
        super().__init__()
        self.axes, self.eps = axes, eps

    def construct(self, x: Tensor) -> tuple[Tensor, Tensor]:
        centred = x - x.mean(self.axes, True)
        scale = ops.rsqrt(ops.square(centred).mean(self.axes, True) + self.eps)
        return centred * scale, scale

    def bprop(
        self, x: Tensor, out: tuple[Tensor, Tensor], dout: tuple[Tensor, Tensor]
    ) -> tuple[Tensor]:
        """The gradient to x."""
        (y, scale), dy = out, dout[0]
        along = (dy * y).mean(self.axes, True)
        return ((dy - dy.mean(self.axes, True) - y * along) * scale,)
