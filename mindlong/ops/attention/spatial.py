"""Full attention over the pixels of a frame, on (R, 3*N*D, H, W) as a projection leaves it."""

from __future__ import annotations

import math

from mindspore import Tensor, ops

from mindlong.ops.precision import Typed


class SpatialCore(Typed):
    """softmax(q k^T / sqrt(D)) v within each row and head: construct(qkv (R, 3*N*D, H, W)) -> (R,
    N*D, H, W). It computes in float32 and answers in its own type.
    """

    def __init__(self, heads: int, head_dim: int) -> None:
        super().__init__()
        self.heads, self.head_dim, self.scale = heads, head_dim, 1.0 / math.sqrt(head_dim)
        self.scores, self.mix = ops.BatchMatMul(transpose_a=True), ops.BatchMatMul(transpose_b=True)

    def construct(self, qkv: Tensor) -> Tensor:
        q, k, v = ops.split(qkv, self.heads * self.head_dim, 1)
        return self.apart(q, k, v)

    def apart(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """The same of three tensors (R, N*D, H, W)."""
        given, q, k, v = q, self.single(q), self.single(k), self.single(v)
        rows, _, height, width = q.shape
        shape = (rows, self.heads, self.head_dim, height * width)
        weights = ops.softmax(self.scores(q.reshape(shape) * self.scale, k.reshape(shape)), -1)
        out = self.mix(v.reshape(shape), weights)
        return self.answer(given, out.reshape((rows, self.heads * self.head_dim, height, width)))
