"""The linear layer."""

from __future__ import annotations

from mindspore import Tensor, nn, ops

from mindlong.ops.weights import Draw, fill_uniform, zeros


class Linear(nn.Cell):
    """y = x W^T + b on the last axis: (.., cin) -> (.., cout). `weight` is (cout, cin), `bias` (cout,)."""

    def __init__(self, cin: int, cout: int, bias: bool = True) -> None:
        super().__init__()
        self.cin, self.cout, self.has_bias = cin, cout, bias
        self.weight = zeros(cout, cin)
        if bias:
            self.bias = zeros(cout)
        self.product = ops.MatMul(transpose_b=True)  # transposing the weight itself is 10 times slower on a CPU

    def init_weights(self, draw: Draw) -> None:
        """torch's default."""
        fill_uniform(self.weight, draw("weight"), self.cin)
        if self.has_bias:
            fill_uniform(self.bias, draw("bias"), self.cin)

    def construct(self, x: Tensor) -> Tensor:
        shape = x.shape
        y = self.product(x.reshape((-1, self.cin)), self.weight.astype(x.dtype))
        if self.has_bias:
            y = ops.bias_add(y, self.bias.astype(x.dtype))
        return y.reshape((*shape[:-1], self.cout))
