"""The type that an operator computes in: float32, float16 or bfloat16.

A network in 16 bits has products, activations and results in that type; norms, softmax and the
sums inside a product are float32 whatever the type. An operator can be kept in float32 where its
numbers leave the range of halves (tools/fp16_audit.py finds which).

An NPU multiplies 16-bit numbers and sums in float32. A CPU has no such arithmetic: there an
operator rounds its inputs and weights to the 16 bits, computes in float32 and rounds the result,
which are the same numbers but for the order of sums. MindSpore's CPU kernels cannot even reshape
bfloat16, so that there the rounded results are float32 tensors.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase

import mindspore as ms
from mindspore import Parameter, Tensor, nn, ops

from mindlong.ops import device
from mindlong.utils.errors import ConfigError, did_you_mean

TYPES = ("float32", "float16", "bfloat16")
LARGEST_HALF = 65504.0


class Typed(nn.Cell):
    """An operator whose type can be set.

    Attributes:
        compute: the type of its products and of its result; None: that of its input.
        kept: it stays in float32 in a network of halves.
        upcast: the network was made so that it always is.
        whole: nothing is converted: input, weights and result have one type, as in a network of
            float32. An idle conversion still costs the compilation of a graph, and so does every
            method that a cell calls: the C++ operators are called straight from `construct` then.
    """

    compute: ms.Type | None = None
    whole = True
    kept = False
    upcast = False

    def __init__(self) -> None:
        super().__init__()
        self.widens = device.chip() == "cpu"

    def result_type(self, x: Tensor) -> ms.Type:
        """The type that the operator computes in and answers with, for the input `x`."""
        return x.dtype if self.compute is None else self.compute

    def answer(self, x: Tensor, y: Tensor) -> Tensor:
        """The result `y` for the input `x`, in its type."""
        if self.whole:
            return y
        dtype = self.result_type(x)
        if self.widens and dtype == ms.bfloat16:
            return wide(y, dtype)
        return y.astype(dtype)

    def single(self, x: Tensor) -> Tensor:
        """`x` as float32."""
        return x if self.whole else x.astype(ms.float32)


def wide(x: Tensor, dtype: ms.Type) -> Tensor:
    """`x` rounded to `dtype`, as float32: what a CPU computes with in the place of `dtype`."""
    return x.astype(dtype).astype(ms.float32)


def joined(first: Tensor, second: Tensor, axis: int) -> Tensor:
    """Both along `axis`, in the wider of their types: one may come from a layer kept in
    float32.
    """
    if first.dtype != second.dtype:
        first, second = first.astype(ms.float32), second.astype(ms.float32)
    return ops.concat((first, second), axis)


def check_chip(key: str, dtype: str) -> None:
    """Raise ConfigError where this machine's chip has no arithmetic in `dtype`, the value of
    `key`.
    """
    if dtype in ("bfloat16", "bf16") and device.chip() == "910a":
        raise ConfigError(
            f"{key} is {dtype}, and a 910A has no bfloat16; take "
            + ("float16 or float32" if dtype == "bfloat16" else "fp16 or fp32")
        )


def set_types(network: nn.Cell, dtype: str) -> None:
    """Have the operators of `network` compute in `dtype`, of TYPES.

    A cell with a `spec` whose field `float32` names cells below it ("down.0.res.conv1", or a shell
    pattern such as "mid.*.attn1") has those, and all below them, stay in float32.

    Raises:
        ConfigError: an entry of such a field that names no cell with operators.
    """
    found = operators(network)
    patterns = list(_patterns(network))
    _check_names(patterns, [name for name, _ in found])
    for name, cell in found:
        cell.kept = cell.upcast or any(covers(pattern, name) for pattern in patterns)
        cell.compute = ms.float32 if cell.kept else getattr(ms, dtype)
        cell.whole = dtype == "float32" and not (cell.kept and device.chip() == "910a")


def _patterns(network: nn.Cell) -> Iterator[str]:
    for name, cell in network.cells_and_names():
        for pattern in getattr(getattr(cell, "spec", None), "float32", ()):
            yield f"{name}.{pattern}" if name else pattern


def operators(network: nn.Cell) -> list[tuple[str, Typed]]:
    """The operators of a network whose type can be set, by name."""
    return [(name, cell) for name, cell in network.cells_and_names() if isinstance(cell, Typed)]


def covers(pattern: str, name: str) -> bool:
    """Whether `pattern` names the cell called `name` or one above it."""
    parts = name.split(".")
    return any(fnmatchcase(".".join(parts[: i + 1]), pattern) for i in range(len(parts)))


def _check_names(patterns: Sequence[str], names: Sequence[str]) -> None:
    for pattern in patterns:
        if not any(covers(pattern, name) for name in names):
            raise ConfigError(
                f"float32 names {pattern!r}, and the network has no such layer."
                + did_you_mean(pattern, names)
            )


def store_as(network: nn.Cell, dtype: str) -> None:
    """Have the parameters stored as `dtype`, but those of operators kept in float32. A CPU keeps
    bfloat16 as float32.
    """
    if dtype == "bfloat16" and device.chip() == "cpu":
        return
    kept = {id(p) for cell in _kept(network) for p in cell.get_parameters()}
    for parameter in network.get_parameters():
        if id(parameter) not in kept:
            parameter.set_dtype(getattr(ms, dtype))


def _kept(network: nn.Cell) -> Iterator[Typed]:
    return (cell for _, cell in operators(network) if cell.kept)


class Product(Typed):
    """A layer of products with `weight` and, if `has_bias`, `bias` (cout,).

    A subclass multiplies what `operands` gives and answers with `finished` of it; a C++ operator
    adds the bias itself. On a 910A, whose products are of halves alone, a layer that is kept in
    float32 multiplies its input by a power of two that brings it, and with it the result, into
    their range.

    Attributes:
        adapted: a low-rank addition stands beside it, `lora` (mindlong.ops.lora).
    """

    weight: Parameter
    has_bias = True
    adapted = False
    SHRINK = 2.0**-8

    def __init__(self) -> None:
        super().__init__()
        self.halves_only = device.chip() == "910a"

    def operands(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The input and the weight to multiply."""
        if self.whole:
            return x, self.weight
        dtype = self.result_type(x)
        if self.widens:
            return wide(x, dtype), wide(self.weight, dtype)
        if self.halves_only and self.kept:
            small = x.astype(ms.float32) * self.SHRINK
            return small.astype(ms.float16), self.weight.astype(ms.float16)
        return x.astype(dtype), self.weight.astype(dtype)

    def offset(self, x: Tensor) -> Tensor:
        """The bias for a C++ operator, float32."""
        if self.whole:
            return self.bias
        return wide(self.bias, self.result_type(x))

    def finished(self, x: Tensor, y: Tensor, part: Tensor | None = None) -> Tensor:
        """The answer to the input `x` from the product `y` (rows, cout, ..): with the bias, or
        `part` of it, in its type.
        """
        if self.halves_only and self.kept:
            y = y.astype(ms.float32) * (1.0 / self.SHRINK)
        if self.has_bias:
            y = ops.bias_add(y, self._typed_bias(x, y, self.bias if part is None else part))
        return self.answer(x, y)

    def _typed_bias(self, x: Tensor, y: Tensor, bias: Tensor) -> Tensor:
        """`bias` as it is added to the product `y` for the input `x`."""
        if self.whole:
            return bias
        return wide(bias, self.result_type(x)) if self.widens else bias.astype(y.dtype)
