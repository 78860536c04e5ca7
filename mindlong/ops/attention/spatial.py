"""Full attention over the pixels of a frame, on (R, 3*N*D, H, W) as a projection leaves it."""

from __future__ import annotations

import math

from mindspore import Tensor, nn, ops


class SpatialCore(nn.Cell):
    """softmax(q k^T / sqrt(D)) v within each row and head: construct(qkv (R, 3*N*D, H, W)) -> (R,
    N*D, H, W).
    """

    float32 = True

    def __init__(self, heads: int, head_dim: int) -> None:
        super().__init__()
        self.heads, self.head_dim, self.scale = heads, head_dim, 1.0 / math.sqrt(head_dim)
        self.scores, self.mix = ops.BatchMatMul(transpose_a=True), ops.BatchMatMul(transpose_b=True)

    def construct(self, qkv: Tensor) -> Tensor:
        rows, _, height, width = qkv.shape
        shape = (rows, self.heads, self.head_dim, height * width)
        q, k, v = ops.split(qkv, self.heads * self.head_dim, 1)
        weights = ops.softmax(self.scores(q.reshape(shape) * self.scale, k.reshape(shape)), -1)
        return self.mix(v.reshape(shape), weights).reshape(
            (rows, self.heads * self.head_dim, height, width)
        )
