"""Axes exchanged in memory, and channels moved and scaled by numbers.

MindSpore's own CPU kernels keep a table of indices as long as the result for every place in a graph
(MindSpore 2.10: 8 to 16 bytes an element of a transposition, 16 of a sum or product whose sides
have different shapes), which was half of the memory of a network's forward pass. On a CPU these
compute in float32 and answer in the type of what they are given.
"""

from __future__ import annotations

import mindspore as ms
from mindspore import Tensor, nn

from mindlong.ops.device import use_native


def _single(x: Tensor) -> Tensor:
    return x if x.dtype == ms.float32 else x.astype(ms.float32)


def _wider(y: Tensor, a: Tensor, b: Tensor, c: Tensor) -> Tensor:
    """The float32 result `y` in the widest type of what it comes from, as MindSpore's own sums
    are.
    """
    single = a.dtype == ms.float32 or b.dtype == ms.float32 or c.dtype == ms.float32
    return y if single else y.astype(a.dtype)


class _Kernel(nn.Cell):
    """A C++ operator of mindlong/ops/native/functions.py, where there are such; `name` is its
    factory's.
    """

    def __init__(self, name: str) -> None:
        super().__init__()
        self.native = use_native()
        if self.native:
            from mindlong.ops.native import functions

            self.kernel = getattr(functions, name)()


class Exchange(_Kernel):
    """The two middle axes exchanged: construct(x (N, A, B, I)) -> (N, B, A, I), in x's type."""

    def __init__(self) -> None:
        super().__init__("exchange")

    def construct(self, x_NABI: Tensor) -> Tensor:
        if not self.native:
            return x_NABI.transpose((0, 2, 1, 3))
        return _wider(self.kernel(_single(x_NABI)), x_NABI, x_NABI, x_NABI)


class AddChannels(_Kernel):
    """A number added to each channel of each row: construct(x (R, C, H, W), a (R, C)) -> x's
    shape.
    """

    def __init__(self) -> None:
        super().__init__("add_channels")

    def construct(self, x_RCHW: Tensor, a_RC: Tensor) -> Tensor:
        if not self.native:
            return x_RCHW + a_RC.reshape((x_RCHW.shape[0], -1, 1, 1))
        return _wider(self.kernel(_single(x_RCHW), _single(a_RC)), x_RCHW, a_RC, a_RC)


class Modulate(_Kernel):
    """A scale and a shift for each channel of a video: construct(x (B, L, D), scale (B, D), shift
    (B, D)) -> x * (1 + scale) + shift.
    """

    def __init__(self) -> None:
        super().__init__("modulate")

    def construct(self, x_BLD: Tensor, scale_BD: Tensor, shift_BD: Tensor) -> Tensor:
        if not self.native:
            return x_BLD * (1.0 + scale_BD.expand_dims(1)) + shift_BD.expand_dims(1)
        y = self.kernel(_single(x_BLD), _single(scale_BD), _single(shift_BD))
        return _wider(y, x_BLD, scale_BD, shift_BD)


class Gated(_Kernel):
    """A branch beside its skip: construct(x (B, L, D), y (B, L, D), gate (B, D)) -> x +
    gate * y.
    """

    def __init__(self) -> None:
        super().__init__("gated")

    def construct(self, x_BLD: Tensor, y_BLD: Tensor, gate_BD: Tensor) -> Tensor:
        if not self.native:
            return x_BLD + gate_BD.expand_dims(1) * y_BLD
        out = self.kernel(_single(x_BLD), _single(y_BLD), _single(gate_BD))
        return _wider(out, x_BLD, y_BLD, gate_BD)
