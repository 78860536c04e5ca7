"""What Unet3D's attentions can have beyond the original's, from its author's list of plans: text as
memory keys and values, and features shifted along time and space before the attention.

Legend: as in `mindlong.networks.unet3d.attention`; M memory tokens, K their width, P = H*W.
"""

from __future__ import annotations

from mindspore import Tensor, nn, ops
from mindspore import dtype as mstype

from mindlong.networks.unet3d.attention import (
    LinearAttention,
    SpatialAttention,
    TemporalAttention,
)
from mindlong.networks.unet3d.spec import SPATIAL_HEAD_DIM, Unet3DSpec
from mindlong.ops.attention.temporal import Turn
from mindlong.ops.linear import Linear
from mindlong.ops.norm import LayerNorm


class TextMemory(nn.Cell):
    """The condition as M tokens of its own width, which every attention reads beside its own."""

    def __init__(self, width: int, tokens: int) -> None:
        super().__init__()
        self.width, self.tokens = width, tokens
        self.to_tokens, self.norm = Linear(width, tokens * width), LayerNorm(width)

    def construct(self, cond_BK: Tensor) -> Tensor:
        """(B, K) -> (B, M, K)."""
        return self.norm(self.to_tokens(cond_BK).reshape((-1, self.tokens, self.width)))


def shift_in_time(x_RCHW: Tensor, frames: int, focus_B: Tensor | None) -> Tensor:
    """The second half of the channels comes from the frame before, zeros at the first frame; and
    at every frame of a video whose frames see only themselves.
    """
    rows, channels, height, width = x_RCHW.shape
    shape = (rows // frames, frames, channels, height, width)
    kept, moved = ops.split(x_RCHW.reshape(shape), (channels - channels // 2, channels // 2), 2)
    before = ops.zeros_like(moved)
    if frames > 1:
        first, others = ops.split(before, (1, frames - 1), 1)
        earlier, _ = ops.split(moved, (frames - 1, 1), 1)
        before = ops.concat((first, earlier + others), 1)
    if focus_B is not None:
        before = before * (1.0 - focus_B.astype(before.dtype)).reshape((-1, 1, 1, 1, 1))
    return ops.concat((kept, before), 2).reshape(x_RCHW.shape)


def shift_in_space(x_RCHW: Tensor) -> Tensor:
    """A quarter of the channels comes from the row above, a quarter from the column to the left;
    zeros at the edge.
    """
    _, channels, height, width = x_RCHW.shape
    part = channels // 4
    down, right, kept = ops.split(x_RCHW, (part, part, channels - 2 * part), 1)
    return ops.concat((_moved(down, 2, height), _moved(right, 3, width), kept), 1)


def _moved(x: Tensor, axis: int, length: int) -> Tensor:
    """One place further along an axis, zeros at its beginning."""
    if length == 1:
        return ops.zeros_like(x)
    kept, last = ops.split(x, (length - 1, 1), axis)
    return ops.concat((ops.zeros_like(last), kept), axis)


class Reading(nn.Cell):
    """A memory as keys and values of `heads` heads: (B, M, K) -> two of (R, N, M, D), each video's
    repeated for its `rows` rows.
    """

    def __init__(self, width: int, heads: int, head_dim: int) -> None:
        super().__init__()
        self.heads, self.head_dim = heads, head_dim
        self.to_kv = Linear(width, 2 * heads * head_dim, bias=False)

    def construct(self, memory_BMK: Tensor, rows: int) -> tuple[Tensor, Tensor]:
        batch, tokens, _ = memory_BMK.shape
        kv = self.to_kv(memory_BMK).astype(mstype.float32)
        shape = (batch, 1, tokens, 2, self.heads, self.head_dim)
        whole = (batch, rows // batch, tokens, 2, self.heads, self.head_dim)
        kv = kv.reshape(shape).broadcast_to(whole).reshape((rows, *whole[2:]))
        k, v = ops.split(kv.transpose((2, 0, 3, 1, 4)), 1, 0)
        return k.squeeze(0), v.squeeze(0)


class ExtendedTemporal(TemporalAttention):
    """Attention over frames with memory tokens, a shift in time, or both."""

    def __init__(self, spec: Unet3DSpec, width: int) -> None:
        heads, head_dim = spec.attn_heads, spec.attn_dim_head
        super().__init__(width, heads, head_dim, spec.rotary_dim)
        self.heads, self.head_dim = heads, head_dim
        self.shifts, self.remembers = spec.shift_time, spec.text_memory > 0
        if self.remembers:
            self.memory, self.turn = (
                Reading(spec.cond_dim, heads, head_dim),
                Turn(head_dim, spec.rotary_dim),
            )

    def construct(
        self,
        x_RCHW: Tensor,
        cos_FE: Tensor,
        sin_FE: Tensor,
        bias_BNFF: Tensor,
        memory: Tensor | None = None,
        focus: Tensor | None = None,
    ) -> Tensor:
        """As `TemporalAttention`; memory (B, M, K), focus (B,)."""
        frames, h = cos_FE.shape[0], self.norm(x_RCHW)
        if self.shifts:
            h = shift_in_time(h, frames, focus)
        if not self.remembers:
            return x_RCHW + self.to_out(self.mixed(h, cos_FE, sin_FE, bias_BNFF))
        mixed = self._with_memory(self.to_qkv.parts(h), cos_FE, sin_FE, bias_BNFF, memory)
        return x_RCHW + self.to_out(mixed.astype(x_RCHW.dtype))

    def _with_memory(
        self,
        qkv: tuple[Tensor, ...],
        cos: Tensor,
        sin: Tensor,
        bias: Tensor,
        memory_BMK: Tensor,
    ) -> Tensor:
        """Scores against frames have rotary places and the bias; those against memory have none."""
        rows, _, height, width = qkv[0].shape
        frames, pixels = cos.shape[0], height * width
        batch, inner = rows // frames, self.heads * self.head_dim
        split = (batch, frames, self.heads, self.head_dim, pixels)
        q, k, v = (
            part.astype(mstype.float32).reshape(split).transpose((0, 2, 4, 1, 3))  # (B, N, P, F, D)
            for part in qkv
        )
        scale = self.head_dim**-0.5
        turned = self.turn(q, cos, sin, scale)
        own = ops.BatchMatMul(transpose_b=True)(turned, self.turn(k, cos, sin))
        own = own + bias.astype(mstype.float32).expand_dims(2)
        k_mem, v_mem = self.memory(memory_BMK, batch)
        flat = (batch, self.heads, pixels * frames, self.head_dim)
        asked = ops.BatchMatMul(transpose_b=True)(q.reshape(flat) * scale, k_mem)
        count = k_mem.shape[2]
        asked = asked.reshape((batch, self.heads, pixels, frames, count))
        weights = ops.softmax(ops.concat((own, asked), -1), -1)
        of_frames, of_memory = ops.split(weights, (frames, count), -1)
        out = ops.BatchMatMul()(of_frames, v)
        recalled = of_memory.reshape((batch, self.heads, pixels * frames, count))
        out = out + ops.BatchMatMul()(recalled, v_mem).reshape(out.shape)
        return out.transpose((0, 3, 1, 4, 2)).reshape((rows, inner, height, width))


class OverPixels:
    """What both attentions over pixels gain: memory tokens, a shift in space, or both."""

    def __init__(self, spec: Unet3DSpec, width: int) -> None:
        super().__init__(width, spec.attn_heads, SPATIAL_HEAD_DIM)
        self.heads, self.shifts = spec.attn_heads, spec.shift_space
        self.remembers = spec.text_memory > 0
        if self.remembers:
            self.memory = Reading(spec.cond_dim, spec.attn_heads, SPATIAL_HEAD_DIM)

    def construct(self, x_RCHW: Tensor, memory: Tensor | None = None) -> Tensor:
        """As the attention that is extended; memory (B, M, K)."""
        h = self.norm(x_RCHW)
        h = shift_in_space(h) if self.shifts else h
        if not self.remembers:
            return x_RCHW + self.to_out(self.mixed(h))
        mixed = self._with_memory(self.to_qkv.parts(h), memory)
        return x_RCHW + self.to_out(mixed.astype(x_RCHW.dtype))


class ExtendedSpatial(OverPixels, SpatialAttention):
    """Full attention over pixels with memory tokens, a shift in space, or both."""

    def _with_memory(self, qkv: tuple[Tensor, ...], memory_BMK: Tensor) -> Tensor:
        q, k, v, shape = parts_of(qkv, self.heads)
        k_mem, v_mem = self.memory(memory_BMK, shape[0])
        k, v = ops.concat((k, k_mem), 2), ops.concat((v, v_mem), 2)
        scores = ops.BatchMatMul(transpose_b=True)(q * SPATIAL_HEAD_DIM**-0.5, k)
        out = ops.BatchMatMul()(ops.softmax(scores, -1), v)
        return out.transpose((0, 1, 3, 2)).reshape(shape)


class ExtendedLinear(OverPixels, LinearAttention):
    """Attention of linear cost over pixels with memory tokens, a shift in space, or both."""

    def _with_memory(self, qkv: tuple[Tensor, ...], memory_BMK: Tensor) -> Tensor:
        q, k, v, shape = parts_of(qkv, self.heads)
        k_mem, v_mem = self.memory(memory_BMK, shape[0])
        k, v = ops.softmax(ops.concat((k, k_mem), 2), 2), ops.concat((v, v_mem), 2)
        context = ops.BatchMatMul(transpose_a=True)(k, v) * SPATIAL_HEAD_DIM**-0.5
        out = ops.BatchMatMul()(ops.softmax(q, -1), context)
        return out.transpose((0, 1, 3, 2)).reshape(shape)


def parts_of(qkv: tuple[Tensor, ...], heads: int) -> tuple[Tensor, Tensor, Tensor, tuple[int, ...]]:
    """Three of (R, N*D, H, W) -> q, k, v in float32, each (R, N, P, D), and the shape of one."""
    rows, inner, height, width = qkv[0].shape
    split = (rows, heads, inner // heads, height * width)
    q, k, v = (part.astype(mstype.float32).reshape(split).transpose((0, 1, 3, 2)) for part in qkv)
    return q, k, v, (rows, inner, height, width)
