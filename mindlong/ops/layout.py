"""Axes exchanged in memory, and numbers added to channels: where MindSpore's own CPU kernels keep a
table of indices as long as the result for every place in the graph (measured, MindSpore 2.10: 8 to
16 bytes an element of a transposition, 16 of a sum whose sides have different shapes), which made
half of the memory of a network's forward pass.
"""

from __future__ import annotations

import mindspore as ms
from mindspore import Tensor, nn

from mindlong.ops.device import use_native


class Exchange(nn.Cell):
    """The two middle axes exchanged: construct(x (N, A, B, I)) -> (N, B, A, I), in x's type."""

    def __init__(self) -> None:
        super().__init__()
        self.native = use_native()
        if self.native:
            from mindlong.ops.native import functions

            self.kernel = functions.exchange()

    def construct(self, x_NABI: Tensor) -> Tensor:
        if self.native and x_NABI.dtype == ms.float32:
            return self.kernel(x_NABI)
        return x_NABI.transpose((0, 2, 1, 3))


class AddChannels(nn.Cell):
    """A number added to each channel of each row: construct(x (R, C, H, W), a (R, C)) -> x's
    shape.
    """

    def __init__(self) -> None:
        super().__init__()
        self.native = use_native()
        if self.native:
            from mindlong.ops.native import functions

            self.kernel = functions.add_channels()

    def construct(self, x_RCHW: Tensor, a_RC: Tensor) -> Tensor:
        if self.native and x_RCHW.dtype == ms.float32 and a_RC.dtype == ms.float32:
            return self.kernel(x_RCHW, a_RC)
        return x_RCHW + a_RC.reshape((x_RCHW.shape[0], -1, 1, 1))


class Modulate(nn.Cell):
    """A scale and a shift for each channel of a video: construct(x (B, L, D), scale (B, D), shift
    (B, D)) -> x * (1 + scale) + shift.
    """

    def __init__(self) -> None:
        super().__init__()
        self.native = use_native()
        if self.native:
            from mindlong.ops.native import functions

            self.kernel = functions.modulate()

    def construct(self, x_BLD: Tensor, scale_BD: Tensor, shift_BD: Tensor) -> Tensor:
        if self.native and x_BLD.dtype == ms.float32 and scale_BD.dtype == ms.float32:
            return self.kernel(x_BLD, scale_BD, shift_BD)
        return x_BLD * (1.0 + scale_BD.expand_dims(1)) + shift_BD.expand_dims(1)


class Gated(nn.Cell):
    """A branch beside its skip: construct(x (B, L, D), y (B, L, D), gate (B, D)) -> x +
    gate * y.
    """

    def __init__(self) -> None:
        super().__init__()
        self.native = use_native()
        if self.native:
            from mindlong.ops.native import functions

            self.kernel = functions.gated()

    def construct(self, x_BLD: Tensor, y_BLD: Tensor, gate_BD: Tensor) -> Tensor:
        single = x_BLD.dtype == ms.float32 and y_BLD.dtype == ms.float32
        if self.native and single and gate_BD.dtype == ms.float32:
            return self.kernel(x_BLD, y_BLD, gate_BD)
        return x_BLD + gate_BD.expand_dims(1) * y_BLD
