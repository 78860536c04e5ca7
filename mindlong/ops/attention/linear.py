"""Attention of linear cost over the pixels of a frame (arXiv 1812.01243), on (R, 3*N*D, H, W) as a
projection leaves it.
"""

from __future__ import annotations

import math

from mindspore import Tensor, ops

from mindlong.ops.device import use_native
from mindlong.ops.precision import Typed


class LinearCore(Typed):
    """(softmax_D(q) / sqrt(D))^T-weighted mix of the contexts softmax_P(k) v^T, head by head.

    construct(qkv (R, 3*N*D, H, W)) -> (R, N*D, H, W). v is neither scaled nor normalised. It
    computes in float32 and answers in its own type.
    """

    def __init__(self, heads: int, head_dim: int) -> None:
        super().__init__()
        self.heads, self.head_dim, self.scale = heads, head_dim, 1.0 / math.sqrt(head_dim)
        self.context, self.read = (
            ops.BatchMatMul(transpose_b=True),
            ops.BatchMatMul(transpose_a=True),
        )
        self.native = use_native()
        if self.native:
            from mindlong.ops.native import functions

            self.kernel, self.constant = (
                functions.linear_attention(),
                functions.constant([self.scale, head_dim]),
            )

    def construct(self, qkv: Tensor) -> Tensor:
        if self.native and self.whole:
            return self.kernel(qkv, self.constant)
        if self.native:
            return self.answer(qkv, self.kernel(self.single(qkv), self.constant))
        q, k, v = ops.split(qkv, self.heads * self.head_dim, 1)
        return self.apart(q, k, v)

    def apart(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """The same of three tensors (R, N*D, H, W), in the plain form."""
        given, q, k, v = q, self.single(q), self.single(k), self.single(v)
        rows, _, height, width = q.shape
        shape = (rows, self.heads, self.head_dim, height * width)
        q, k = ops.softmax(q.reshape(shape), 2), ops.softmax(k.reshape(shape), -1)
        context = self.context(k, v.reshape(shape)) * self.scale
        out = self.read(context, q).reshape((rows, self.heads * self.head_dim, height, width))
        return self.answer(given, out)
