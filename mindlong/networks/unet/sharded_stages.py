"""The layers of a video UNet that see other frames, in the form that is handed frames held
elsewhere.

Legend: B videos, F frames of this clip, R = B*F rows, K frames of other clips, C channels, G
groups, H W pixels, S = H*W, D width of a token. Parameters come from the UNet's own cells; nothing
here has parameters of its own.

Norms take `moments` (2, B, G): mean and 1 / deviation of each group over whatever frames the caller
took together.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import mindspore as ms
from mindspore import Tensor, nn, ops

from mindlong.ops.attention import Attention
from mindlong.ops.device import use_native

if TYPE_CHECKING:
    from mindlong.networks.unet.attention import PolicyAttention
    from mindlong.networks.unet.blocks import TemporalConvs, Transformer
    from mindlong.ops.norm import GroupNorm


def by_video(x_RCHW: Tensor, frames: int) -> Tensor:
    """(B*F, ...) -> (B, F, ...)."""
    return x_RCHW.reshape((x_RCHW.shape[0] // frames, frames, *x_RCHW.shape[1:]))


def _normalised(x_BFCHW: Tensor, moments: Tensor, weight_C: Tensor, bias_C: Tensor) -> Tensor:
    """float32, shaped like x. The mean goes first: a large one would cost the digits of what is
    left.
    """
    batch, frames, channels = x_BFCHW.shape[:3]
    grouped = x_BFCHW.astype(ms.float32).reshape((batch, frames, moments.shape[2], -1))
    mean, scale = ops.split(moments.expand_dims(2).expand_dims(-1), 1, 0)
    y = ((grouped - mean[0]) * scale[0]).reshape((batch, frames, channels, -1))
    return (y * weight_C.reshape((1, 1, -1, 1)) + bias_C.reshape((1, 1, -1, 1))).reshape(
        x_BFCHW.shape
    )


class FrameMoments(nn.Cell):
    """Mean and sum of squared deviations of each group of each row: (R, C, H, W) -> float32 (2, R,
    G).
    """

    def __init__(self, groups: int) -> None:
        super().__init__()
        self.groups = groups

    def construct(self, x_RCHW: Tensor) -> Tensor:
        rows = x_RCHW.astype(ms.float32).reshape((x_RCHW.shape[0] * self.groups, -1))
        mean = rows.mean(1, True)
        spread = ops.square(rows - mean).sum(1)
        return ops.stack((mean.reshape((-1, self.groups)), spread.reshape((-1, self.groups))))


class NormConv(nn.Cell):
    """Norm, SiLU and a convolution over frames, with one frame more on each side.

    construct(x (B, F, C, H, W), beside (B, 2, C, H, W), exists (2,), moments, norm weight and bias
    (C,), convolution weight (C, C, 3) and bias (C,)) -> (B*F, C, H, W) and its frame moments. A
    side that does not exist counts as zeros behind the norm. Parameters are arguments, so that
    layers of one width share a graph.
    """

    def __init__(self, width: int, groups: int) -> None:
        super().__init__()
        self.width, self.moments = width, FrameMoments(groups)
        self.native = use_native()
        if self.native:
            from mindlong.ops.native import functions

            self.kernel, self.constant = (
                functions.conv((1, 1), (0, 0), True),
                functions.conv_constant((1, 1), (0, 0)),
            )
        self.plain = ops.Conv2D(width, (3, 1), pad_mode="pad", pad=(0, 0, 0, 0))

    def construct(
        self,
        x_BFCHW: Tensor,
        beside_B2CHW: Tensor,
        exists: Tensor,
        moments: Tensor,
        norm_weight: Tensor,
        norm_bias: Tensor,
        weight: Tensor,
        bias: Tensor,
    ) -> tuple[Tensor, Tensor]:
        batch, frames, channels, height, width = x_BFCHW.shape
        own = self.active(x_BFCHW, moments, norm_weight, norm_bias)
        others = self.active(beside_B2CHW, moments, norm_weight, norm_bias) * exists.astype(
            x_BFCHW.dtype
        ).reshape((1, 2, 1, 1, 1))
        before, behind = ops.split(others, 1, 1)
        h = (
            ops.concat((before, own, behind), 1)
            .transpose((0, 2, 1, 3, 4))
            .reshape((batch, channels, frames + 2, -1))
        )
        h = self.conv(h, weight, bias).reshape((batch, channels, frames, height, width))
        h = h.transpose((0, 2, 1, 3, 4)).reshape((batch * frames, channels, height, width))
        return h, self.moments(h)

    def active(self, x_BFCHW: Tensor, moments: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """Behind norm and SiLU, in x's type."""
        y = _normalised(x_BFCHW, moments, weight, bias)
        return (y * ops.sigmoid(y)).astype(x_BFCHW.dtype)

    def conv(self, h: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """(B, C, F + 2, S) -> (B, C, F, S)."""
        weight = weight.expand_dims(-1)
        if self.native and h.dtype == ms.float32:
            weight, bias = weight.astype(ms.float32), bias.astype(ms.float32)
            return self.kernel(h, weight, bias, self.constant)
        return ops.bias_add(self.plain(h, weight.astype(h.dtype)), bias.astype(h.dtype))


class ChunkConvs(nn.Cell):
    """The four convolutions over a clip with `context` frames more on each side, whose norms see
    that chunk alone: the original's shipped form.

    construct(x (B, F, C, H, W), beside (B, 2 * context, C, H, W)) -> (B*F, C, H, W), the input
    added.
    """

    def __init__(self, stage: TemporalConvs, context: int) -> None:
        super().__init__(auto_prefix=False)
        self.norms, self.convs, self.context = stage.norms, stage.convs, context

    def construct(self, x_BFCHW: Tensor, beside: Tensor) -> Tensor:
        before, behind = ops.split(beside, self.context, 1)
        h_BCFHW = ops.concat((before, x_BFCHW, behind), 1).transpose((0, 2, 1, 3, 4))
        for norm, conv in zip(self.norms, self.convs):  # noqa: B905  graph mode knows no strict
            h_BCFHW = conv(norm(h_BCFHW))
        parts = ops.split(h_BCFHW, (self.context, x_BFCHW.shape[1], self.context), 2)
        return (x_BFCHW + parts[1].transpose((0, 2, 1, 3, 4))).reshape((-1, *x_BFCHW.shape[2:]))


class PoolAttention(nn.Cell):
    """An attention over frames whose keys are the clip's own frames and `others`.

    construct(y (B, F, S, D), others (B, K, S, D), index (blocks * keys,), bias (blocks, size,
    keys), factor (1, F, 1, 1)) -> (B, F, S, D). Places in `index` count own frames first. Zeros in
    `others` are zero keys and values, because the projections have no bias.
    """

    def __init__(self, attention: PolicyAttention, heads: int, upcast: bool) -> None:
        super().__init__(auto_prefix=False)
        self.to_q, self.to_k, self.to_v, self.to_out = (
            attention.to_q,
            attention.to_k,
            attention.to_v,
            attention.to_out,
        )
        self.heads, self.upcast = heads, upcast
        self.attend = Attention(heads, (attention.to_q.cout // heads) ** -0.5)

    def construct(
        self, y_BFSD: Tensor, others_BKSD: Tensor, index: Tensor, bias: Tensor, factor: Tensor
    ) -> Tensor:
        batch, frames, pixels, width = y_BFSD.shape
        blocks, size, keys = bias.shape
        pool = ops.concat((y_BFSD, others_BKSD), 1)
        q = self.rows(self.to_q(y_BFSD * factor.astype(y_BFSD.dtype)), blocks)
        k, v = (
            self.rows(ops.gather(part, index, 1), blocks)
            for part in (self.to_k(pool), self.to_v(pool))
        )
        mask = (
            bias.expand_dims(1)
            .broadcast_to((blocks, self.heads, size, keys))
            .reshape((1, blocks * self.heads, size, keys))
        )
        out = self.attend(q, k, v, mask).astype(y_BFSD.dtype)
        out = out.reshape((batch, pixels, blocks, self.heads, size, width // self.heads)).transpose(
            (0, 2, 4, 1, 3, 5)
        )
        return self.to_out(out.reshape(y_BFSD.shape))

    def rows(self, x: Tensor, blocks: int) -> Tensor:
        """(B, blocks * n, S, D) -> (B * S, blocks * heads, n, D / heads)."""
        batch, length, pixels, width = x.shape
        x = x.astype(ms.float32) if self.upcast else x
        x = x.reshape(
            (batch, blocks, length // blocks, pixels, self.heads, width // self.heads)
        ).transpose((0, 3, 1, 4, 2, 5))
        return x.reshape(
            (batch * pixels, blocks * self.heads, length // blocks, width // self.heads)
        )


class Opening(nn.Cell):
    """A transformer over frames up to its first attention.

    construct(x (R, C, H, W), moments, context, frames) -> tokens (B, F, S, D), and the same behind
    that attention's norm.
    """

    def __init__(self, stage: Transformer, steps: tuple[tuple[str, str], ...], norm: str) -> None:
        super().__init__(auto_prefix=False)
        self.norm: GroupNorm = stage.norm
        self.proj_in, self.block, self.steps, self.last = stage.proj_in, stage.block, steps, norm
        self.exchange = stage.exchange

    def construct(
        self, x_RCHW: Tensor, moments: Tensor, context: Tensor, frames: int
    ) -> tuple[Tensor, Tensor]:
        rows, channels, height, width = x_RCHW.shape
        y = _normalised(by_video(x_RCHW, frames), moments, self.norm.weight, self.norm.bias).astype(
            x_RCHW.dtype
        )
        y = self.exchange(y.reshape((rows, channels, height * width, 1)))
        tokens = self.proj_in(y.reshape((rows // frames, frames, height * width, channels)))
        tokens = local(self.block, self.steps, tokens, context)
        return tokens, getattr(self.block, self.last)(tokens)


def local(
    block: nn.Cell, steps: tuple[tuple[str, str], ...], tokens: Tensor, context: Tensor
) -> Tensor:
    """Branches that see one frame only."""
    for norm, branch in steps:
        tokens = tokens + getattr(block, branch)(getattr(block, norm)(tokens), context)
    return tokens


class Between(nn.Cell):
    """From one attention of a transformer over frames to the next one's norm: construct(tokens, y,
    others, index, bias, factor, context) -> as `Opening`."""

    def __init__(
        self, stage: Transformer, pool: PoolAttention, steps: tuple[tuple[str, str], ...], norm: str
    ) -> None:
        super().__init__(auto_prefix=False)
        self.block, self.pool, self.steps, self.last = stage.block, pool, steps, norm

    def construct(
        self,
        tokens: Tensor,
        y: Tensor,
        others: Tensor,
        index: Tensor,
        bias: Tensor,
        factor: Tensor,
        context: Tensor,
    ) -> tuple[Tensor, Tensor]:
        tokens = local(
            self.block, self.steps, tokens + self.pool(y, others, index, bias, factor), context
        )
        return tokens, getattr(self.block, self.last)(tokens)


class Closing(nn.Cell):
    """From the last attention to the end: construct(tokens, y, others, index, bias, factor,
    context, x (R, C, H, W)) -> (R, C, H, W)."""

    def __init__(
        self, stage: Transformer, pool: PoolAttention, steps: tuple[tuple[str, str], ...]
    ) -> None:
        super().__init__(auto_prefix=False)
        self.block, self.pool, self.steps, self.proj_out = stage.block, pool, steps, stage.proj_out
        self.exchange = stage.exchange

    def construct(
        self,
        tokens: Tensor,
        y: Tensor,
        others: Tensor,
        index: Tensor,
        bias: Tensor,
        factor: Tensor,
        context: Tensor,
        x_RCHW: Tensor,
    ) -> Tensor:
        tokens = local(
            self.block, self.steps, tokens + self.pool(y, others, index, bias, factor), context
        )
        rows, channels, height, width = x_RCHW.shape
        out = self.proj_out(tokens).reshape((rows, height * width, channels, 1))
        return x_RCHW + self.exchange(out).reshape(x_RCHW.shape)
