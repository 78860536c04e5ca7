"""Convolutions and norms of folded frames, each in the form that knows of the other frames and the
one that does not.

Legend: B videos, F frames, R = B*F rows (row b*F + f is frame f of video b), C channels, H W
pixels. All cells here are called as `cell(x_RCHW, frames)`; for images `frames` is left out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from mindspore import Tensor, nn

from mindlong.ops.conv import Conv2d, TemporalConv
from mindlong.ops.norm import GroupNorm

if TYPE_CHECKING:
    from mindlong.ops.weights import Draw


def unfold(x_RCHW: Tensor, frames: int) -> Tensor:
    """(B*F, C, H, W) -> (B, C, F, H, W)."""
    rows, channels, height, width = x_RCHW.shape
    return x_RCHW.reshape((rows // frames, frames, channels, height, width)).transpose(
        (0, 2, 1, 3, 4)
    )


def fold(x_BCFHW: Tensor) -> Tensor:
    """(B, C, F, H, W) -> (B*F, C, H, W)."""
    batch, channels, frames, height, width = x_BCFHW.shape
    return x_BCFHW.transpose((0, 2, 1, 3, 4)).reshape((batch * frames, channels, height, width))


class Norm(GroupNorm):
    """GroupNorm, and SiLU if `act`, of every frame by itself."""

    def construct(self, x_RCHW: Tensor, frames: int = 1) -> Tensor:
        """(R, C, H, W) -> the same shape."""
        return super().construct(x_RCHW)


class JointNorm(GroupNorm):
    """GroupNorm, and SiLU if `act`, with one mean and variance for all frames of a video."""

    def construct(self, x_RCHW: Tensor, frames: int = 1) -> Tensor:
        """(R, C, H, W) -> the same shape."""
        return self.joint(x_RCHW, frames)


class Conv(Conv2d):
    """A 2-D convolution of every frame."""

    def construct(self, x_RCHW: Tensor, frames: int = 1) -> Tensor:
        """(R, cin, H, W) -> (R, cout, H', W')."""
        return super().construct(x_RCHW)


class DiracConv(TemporalConv):
    """A convolution over frames that starts as the identity."""

    def init_weights(self, draw: Draw) -> None:
        """One at the middle tap of each channel."""
        weight = np.zeros(self.weight.shape, np.float32)
        weight[np.arange(self.cout), np.arange(self.cout), self.kernel_size // 2] = 1
        self.weight.set_data(Tensor(weight))


class PseudoConv(nn.Cell):
    """A 2-D convolution of every frame, then one over frames (arXiv 2209.14792), its kernel 3
    whatever the first's.
    """

    def __init__(self, cin: int, cout: int, kernel: int, stride: int = 1, padding: int = 0) -> None:
        super().__init__()
        self.spatial = Conv2d(cin, cout, kernel, stride, padding)
        self.temporal = DiracConv(cout, cout)

    def construct(self, x_RCHW: Tensor, frames: int = 1) -> Tensor:
        """(R, cin, H, W) -> (R, cout, H', W')."""
        return self.temporal.folded(self.spatial(x_RCHW), frames)


@dataclass(frozen=True)
class Parts:
    """What residual blocks are made of: norm(groups, channels, eps, act), conv(cin, cout, kernel,
    stride, padding).
    """

    norm: type[nn.Cell] = Norm
    conv: type[nn.Cell] = Conv


IMAGES = Parts()


def start_at_zero(cell: nn.Cell) -> nn.Cell:
    """Have a convolution or linear layer keep the zeros it was made with, so that a fresh block
    does nothing.
    """
    target = cell.spatial if isinstance(cell, PseudoConv) else cell
    target.init_weights = _keep
    return cell


def _keep(draw: Draw) -> None:
    """The first value is the zeros of the constructor."""
