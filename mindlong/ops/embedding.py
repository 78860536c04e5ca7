"""The embedding table."""

from __future__ import annotations

from mindspore import Tensor, nn, ops

from mindlong.ops.weights import Draw, fill_normal, zeros


class Embedding(nn.Cell):
    """ids int32 (..) -> (.., dim). `weight` is (count, dim)."""

    def __init__(self, count: int, dim: int) -> None:
        super().__init__()
        self.weight = zeros(count, dim)

    def init_weights(self, draw: Draw) -> None:
        """torch's default, N(0, 1)."""
        fill_normal(self.weight, draw("weight"))

    def construct(self, ids: Tensor) -> Tensor:
        return ops.gather(self.weight, ids, 0)
