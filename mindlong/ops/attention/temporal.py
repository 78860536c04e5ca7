"""Attention over the frames of each pixel, on activations that keep their channels before their
pixels.

Legend: B batch, F frames, R = B*F rows, N heads, D width of a head, P pixels, E = half the rotary
features.
"""

from __future__ import annotations

import math

import numpy as np
from mindspore import Tensor, nn, ops

from mindlong.ops.device import use_native
from mindlong.ops.precision import Typed


class Turn(nn.Cell):
    """Turns the pairs (0, 1), (2, 3), ... of the first `rotary` of D features by angles: x cos +
    J x sin, where J takes (a, b) to (-b, a). J is a product, because to take pairs apart and join
    them again copies everything twice.
    """

    def __init__(self, head_dim: int, rotary: int) -> None:
        super().__init__()
        self.head_dim, self.rotary = head_dim, rotary
        self.quarter, self.product = Tensor(_quarter_turns(head_dim, rotary)), ops.MatMul()

    def construct(self, x: Tensor, cos_FE: Tensor, sin_FE: Tensor, scale: float = 1.0) -> Tensor:
        """(.., F, D), and cosines and sines (F, rotary / 2), all float32 -> (.., F, D), times
        `scale`.
        """
        across = self.product(x.reshape((-1, self.head_dim)), self.quarter).reshape(x.shape)
        cos, sin = self._wide(cos_FE, 1.0) * scale, self._wide(sin_FE, 0.0) * scale
        return x * cos + across * sin

    def _wide(self, angle_FE: Tensor, rest: float) -> Tensor:
        """(F, E) -> (F, D): for each feature that of its pair, and `rest` for what stays."""
        frames, pairs = angle_FE.shape
        wide = angle_FE.reshape((frames, pairs, 1)).broadcast_to((frames, pairs, 2))
        wide = wide.reshape((frames, self.rotary))
        if self.rotary == self.head_dim:
            return wide
        more = ops.full((frames, self.head_dim - self.rotary), rest, dtype=wide.dtype)
        return ops.concat((wide, more), 1)


def _quarter_turns(head_dim: int, rotary: int) -> np.ndarray:
    """float32 (D, D): what a row of features is multiplied by to turn each pair by a quarter."""
    found = np.zeros((head_dim, head_dim), np.float32)
    even = np.arange(0, rotary, 2)
    found[even + 1, even], found[even, even + 1] = -1, 1
    return found


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
        self.heads, self.head_dim = heads, head_dim
        self.scale = 1.0 / math.sqrt(head_dim)
        self.scores, self.mix = ops.BatchMatMul(transpose_b=True), ops.BatchMatMul()
        self.native = use_native()
        if self.native:
            from mindlong.ops.native import functions

            self.kernel, self.constant = functions.temporal(heads), functions.constant([self.scale])
        else:
            self.turn = Turn(head_dim, rotary_dim)

    def construct(self, qkv: Tensor, cos_FE: Tensor, sin_FE: Tensor, bias_BNFF: Tensor) -> Tensor:
        if self.native and self.whole:
            return self.kernel(qkv, cos_FE, sin_FE, bias_BNFF, self.constant)
        if self.native:
            angles = self.single(cos_FE), self.single(sin_FE)
            y = self.kernel(self.single(qkv), *angles, self.single(bias_BNFF), self.constant)
            return self.answer(qkv, y)
        q, k, v = ops.split(qkv, self.heads * self.head_dim, 1)
        return self.apart(q, k, v, cos_FE, sin_FE, bias_BNFF)

    def apart(
        self, q: Tensor, k: Tensor, v: Tensor, cos_FE: Tensor, sin_FE: Tensor, bias_BNFF: Tensor
    ) -> Tensor:
        """The same of three tensors (R, N*D, H, W), in the plain form."""
        frames, (rows, inner, height, width) = cos_FE.shape[0], q.shape
        cos, sin = self.single(cos_FE), self.single(sin_FE)
        turned_q = self.turn(self._tokens(q, frames), cos, sin, self.scale)
        turned_k = self.turn(self._tokens(k, frames), cos, sin)
        scores = self.scores(turned_q, turned_k) + self.single(bias_BNFF).expand_dims(2)
        out = self.mix(ops.softmax(scores, -1), self._tokens(v, frames))
        out = out.transpose((0, 3, 1, 4, 2)).reshape((rows, inner, height, width))
        return self.answer(q, out)

    def _tokens(self, x_RCHW: Tensor, frames: int) -> Tensor:
        """(R, N*D, H, W) -> float32 (B, N, P, F, D)."""
        rows, _, height, width = x_RCHW.shape
        split = (rows // frames, frames, self.heads, self.head_dim, height * width)
        return self.single(x_RCHW).reshape(split).transpose((0, 2, 4, 1, 3))
