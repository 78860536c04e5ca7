"""The linear layer."""

from __future__ import annotations

from mindspore import Tensor, ops

from mindlong.ops.device import use_native
from mindlong.ops.precision import Product
from mindlong.ops.weights import Draw, fill_uniform, zeros


class Linear(Product):
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
        if self.native and self.whole and self.has_bias:
            y = self.kernel(x, self.weight, self.bias)
        elif self.native:
            y = self._native(x)
        else:
            y = self._plain(x)
        if self.adapted:
            y = y + self.lora(x)
        return y.reshape((*shape[:-1], self.cout))

    def parts(self, x: Tensor, count: int) -> tuple[Tensor, ...]:
        """The answer in `count` equal parts of its last axis. Where the weight is smaller than the
        answer the weight is what is split, so that no part is copied out of the whole.
        """
        shape, width = x.shape, self.cout // count
        rows = x.reshape((-1, self.cin))
        if self.native or self.adapted or rows.shape[0] < self.cin:
            return ops.split(self.construct(x), width, -1)
        rows, weight = self.operands(rows)
        found, biases = (), (None,) * count
        if self.has_bias:
            biases = ops.split(self.bias, width, 0)
        for part, bias in zip(ops.split(weight, width, 0), biases):  # noqa: B905  graph mode knows no strict
            y = self.finished(x, self.product(rows, part), bias)
            found += (y.reshape((*shape[:-1], width)),)
        return found

    def to_heads(self, x: Tensor, heads: int, more: int) -> Tensor:
        """The answer with `more` zeros behind each of `heads` parts: (.., cin) -> (.., cout + heads
        * more). It is the weight that is padded; for a layer without bias.
        """
        rows, weight = self.operands(x.reshape((-1, self.cin)))
        width = self.cout // heads
        zeros_NMC = ops.zeros((heads, more, self.cin), weight.dtype)
        weight = ops.concat((weight.reshape((heads, width, self.cin)), zeros_NMC), 1)
        y = self.finished(x, self.product(rows, weight.reshape((-1, self.cin))))
        return y.reshape((*x.shape[:-1], heads * (width + more)))

    def from_heads(self, x: Tensor, heads: int, more: int) -> Tensor:
        """The answer to an input with `more` zeros behind each of `heads` parts: (.., cin + heads *
        more) -> (.., cout).
        """
        rows, weight = self.operands(x.reshape((-1, self.cin + heads * more)))
        zeros_CNM = ops.zeros((self.cout, heads, more), weight.dtype)
        weight = ops.concat((weight.reshape((self.cout, heads, self.cin // heads)), zeros_CNM), 2)
        y = self.finished(x, self.product(rows, weight.reshape((self.cout, -1))))
        return y.reshape((*x.shape[:-1], self.cout))

    def _native(self, x: Tensor) -> Tensor:
        rows, weight = self.operands(x)
        if self.has_bias:
            return self.answer(x, self.kernel(rows, weight, self.offset(x)))
        return self.answer(x, self.kernel(rows, weight))

    def _plain(self, x: Tensor) -> Tensor:
        rows, weight = self.operands(x)
        return self.finished(x, self.product(rows, weight))
