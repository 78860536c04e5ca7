"""Attention over the frames of each pixel, on activations that keep their channels before their
pixels.

Legend: B batch, F frames, R = B*F rows, N heads, D width of a head, P pixels, E = half the rotary
features.
"""

from __future__ import annotations

import math

from mindspore import Tensor, ops

from mindlong.ops.device import use_native
from mindlong.ops.precision import Typed


def turned_by(x_BFNDP: Tensor, cos: Tensor, sin: Tensor, rotary: int) -> Tensor:
    """Turn the pairs (0, 1), (2, 3), ... of the first `rotary` features by their frame's angle; cos
    and sin (1, F, 1, E, 1, 1).
    """
    head = x_BFNDP.shape[3]
    if rotary < head:
        turned, rest = ops.split(x_BFNDP, (rotary, head - rotary), 3)
        return ops.concat((_turn_pairs(turned, cos, sin), rest), 3)
    return _turn_pairs(x_BFNDP, cos, sin)


def _turn_pairs(x_BFNDP: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    batch, frames, heads, dim, pixels = x_BFNDP.shape
    pairs = x_BFNDP.reshape((batch, frames, heads, dim // 2, 2, pixels))
    first, second = ops.split(pairs, 1, 4)
    both = ops.concat((first * cos - second * sin, first * sin + second * cos), 4)
    return both.reshape(x_BFNDP.shape)


class TemporalCore(Typed):
    """softmax(turn(q) turn(k)^T / sqrt(D) + bias) v for every pixel, from one projection that holds
    q, k and v.

    Args:
        heads, head_dim: N and D.
        rotary_dim: how many of the D features are turned.

    construct(qkv (R, 3*N*D, H, W), cos (F, E), sin (F, E), bias (B or 1, N, F, F)) -> (R, N*D, H,
    W). It computes in float32 and answers in its own type. The angles get no gradient in the native
    form and are meant to be frozen.
    """

    def __init__(self, heads: int, head_dim: int, rotary_dim: int) -> None:
        super().__init__()
        self.heads, self.head_dim, self.rotary_dim = heads, head_dim, rotary_dim
        self.scale = 1.0 / math.sqrt(head_dim)
        self.scores, self.mix = ops.BatchMatMul(transpose_b=True), ops.BatchMatMul()
        self.native = use_native()
        if self.native:
            from mindlong.ops.native import functions

            self.kernel, self.constant = functions.temporal(heads), functions.constant([self.scale])

    def construct(self, qkv: Tensor, cos_FE: Tensor, sin_FE: Tensor, bias_BNFF: Tensor) -> Tensor:
        if self.native and self.whole:
            return self.kernel(qkv, cos_FE, sin_FE, bias_BNFF, self.constant)
        given, qkv = qkv, self.single(qkv)
        cos_FE, sin_FE = self.single(cos_FE), self.single(sin_FE)
        bias_BNFF = self.single(bias_BNFF)
        if self.native:
            y = self.kernel(qkv, cos_FE, sin_FE, bias_BNFF, self.constant)
            return self.answer(given, y)
        rows, _, height, width = qkv.shape
        frames = cos_FE.shape[0]
        split = (rows // frames, frames, self.heads, self.head_dim, height * width)
        angles = (1, frames, 1, self.rotary_dim // 2, 1, 1)
        cos, sin = cos_FE.reshape(angles), sin_FE.reshape(angles)
        q, k, v = ops.split(qkv, self.heads * self.head_dim, 1)
        q = turned_by(q.reshape(split) * self.scale, cos, sin, self.rotary_dim)
        k = turned_by(k.reshape(split), cos, sin, self.rotary_dim)
        tokens = (0, 2, 4, 1, 3)
        scores = self.scores(q.transpose(tokens), k.transpose(tokens)) + bias_BNFF.expand_dims(2)
        out = self.mix(ops.softmax(scores, -1), v.reshape(split).transpose(tokens))
        out = out.transpose((0, 3, 1, 4, 2))
        return self.answer(given, out.reshape((rows, self.heads * self.head_dim, height, width)))
