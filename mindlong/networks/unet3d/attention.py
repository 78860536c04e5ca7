"""The three attentions of Unet3D, each with its channel norm before it and the residual added after
it.

Legend: B batch, F frames, R = B*F rows (frames folded behind the batch), C channels, H W pixels, N
heads, D width of a head. Activations stay (R, C, H, W) from end to end: the projections are 1 x 1
convolutions and the cores read (R, 3*N*D, H, W), so no token layout is written out where the core
is native.
"""

from __future__ import annotations

from mindspore import Tensor, nn

from mindlong.ops.attention.linear import LinearCore
from mindlong.ops.attention.spatial import SpatialCore
from mindlong.ops.attention.temporal import TemporalCore
from mindlong.ops.conv import Conv2d, ConvInParts
from mindlong.ops.norm import ChannelLayerNorm


class _Attention(nn.Cell):
    """What the three share: `norm`, `to_qkv`, `core`, `to_out`."""

    def mixed(self, h_RCHW: Tensor, *more: Tensor) -> Tensor:
        """The core's answer to what comes out of the norm; `more` is what else it reads."""
        if self.to_qkv.native:
            return self.core(self.to_qkv(h_RCHW), *more)
        q, k, v = self.to_qkv.parts(h_RCHW)
        return self.core.apart(q, k, v, *more)


class LinearAttention(_Attention):
    """Attention of linear cost over the pixels of a frame (arXiv 1812.01243)."""

    def __init__(self, width: int, heads: int, head_dim: int) -> None:
        super().__init__()
        self.norm = ChannelLayerNorm(width)
        self.to_qkv = ConvInParts(width, 3 * heads * head_dim, 3)
        self.core = LinearCore(heads, head_dim)
        self.to_out = Conv2d(heads * head_dim, width, 1)

    def construct(self, x_RCHW: Tensor) -> Tensor:
        """(R, C, H, W) -> (R, C, H, W)."""
        return x_RCHW + self.to_out(self.mixed(self.norm(x_RCHW)))


class SpatialAttention(_Attention):
    """Full attention over the pixels of a frame, without positions; neither projection has a
    bias.
    """

    def __init__(self, width: int, heads: int, head_dim: int) -> None:
        super().__init__()
        self.norm = ChannelLayerNorm(width)
        self.to_qkv = ConvInParts(width, 3 * heads * head_dim, 3)
        self.core = SpatialCore(heads, head_dim)
        self.to_out = Conv2d(heads * head_dim, width, 1, bias=False)

    def construct(self, x_RCHW: Tensor) -> Tensor:
        """(R, C, H, W) -> (R, C, H, W)."""
        return x_RCHW + self.to_out(self.mixed(self.norm(x_RCHW)))


class TemporalAttention(_Attention):
    """Full attention over the frames of a pixel, with rotary angles on q and k and a bias on the
    scores.
    """

    def __init__(self, width: int, heads: int, head_dim: int, rotary_dim: int) -> None:
        super().__init__()
        self.norm = ChannelLayerNorm(width)
        self.to_qkv = ConvInParts(width, 3 * heads * head_dim, 3)
        self.core = TemporalCore(heads, head_dim, rotary_dim)
        self.to_out = Conv2d(heads * head_dim, width, 1, bias=False)

    def construct(
        self, x_RCHW: Tensor, cos_FE: Tensor, sin_FE: Tensor, bias_BNFF: Tensor
    ) -> Tensor:
        """(R, C, H, W) -> (R, C, H, W); angles (F, rotary_dim / 2), bias (B or 1, N, F, F)."""
        return x_RCHW + self.to_out(self.mixed(self.norm(x_RCHW), cos_FE, sin_FE, bias_BNFF))
