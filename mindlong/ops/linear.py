"""The linear layer."""

from __future__ import annotations

import mindspore as ms
from mindspore import Tensor, nn, ops

from mindlong.ops.device import use_native
from mindlong.ops.weights import Draw, fill_uniform, zeros


class Linear(nn.Cell):
    """y = x W^T + b on the last axis: (.., cin) -> (.., cout). `weight` is (cout, cin), `bias`
    (cout,).
    """

    def __init__(self, cin: int, cout: int, bias: bool = True) -> None:
        super().__init__()
        self.cin, self.cout, self.has_bias = cin, cout, bias
        self.weight = zeros(cout, cin)
        if bias:
            self.bias = zeros(cout)
        self.native = use_native() and cin % 16 == 0 and cout % 16 == 0
        if self.native:
            from mindlong.ops.native import functions

            self.kernel = functions.linear(bias)
        self.product = ops.MatMul(
            transpose_b=True
        )  # transposing the weight itself is 10 times slower on a CPU

    def init_weights(self, draw: Draw) -> None:
        """torch's default."""
        fill_uniform(self.weight, draw("weight"), self.cin)
        if self.has_bias:
            fill_uniform(self.bias, draw("bias"), self.cin)

    def construct(self, x: Tensor) -> Tensor:
        shape = x.shape
        x = x.reshape((-1, self.cin))
        y = self._native(x) if self.native and x.dtype == ms.float32 else self._plain(x)
        return y.reshape((*shape[:-1], self.cout))

    def _native(self, x: Tensor) -> Tensor:
        weight = self.weight.astype(ms.float32)
        return (
            self.kernel(x, weight, self.bias.astype(ms.float32))
            if self.has_bias
            else self.kernel(x, weight)
        )

    def _plain(self, x: Tensor) -> Tensor:
        y = self.product(x, self.weight.astype(x.dtype))
        return ops.bias_add(y, self.bias.astype(x.dtype)) if self.has_bias else y
