"""SiLU, GELU (exact, and by tanh) and GEGLU."""

from __future__ import annotations

import mindspore as ms
from mindspore import Tensor, ops

from mindlong.ops.device import use_native
from mindlong.ops.precision import Typed, wide


class _Pointwise(Typed):
    """A C++ operator where there is one, else `plain`; on a CPU in float32 whatever the type."""

    def __init__(self, native_name: str) -> None:
        super().__init__()
        self.native = use_native()
        if self.native:
            from mindlong.ops.native import functions

            self.kernel = getattr(functions, native_name)()

    def construct(self, x: Tensor) -> Tensor:
        """The activation of x, in the operator's type."""
        if self.whole:
            return self.kernel(x) if self.native else self.plain(x)
        dtype = self.result_type(x)
        typed = wide(x, dtype) if self.widens else x.astype(dtype)
        return self.answer(x, self.kernel(typed) if self.native else self.plain(typed))


class SiLU(_Pointwise):
    """x * sigmoid(x)."""

    def __init__(self) -> None:
        super().__init__("silu")

    def plain(self, x: Tensor) -> Tensor:
        return x * ops.sigmoid(x)


class GELU(_Pointwise):
    """x * Phi(x), the exact form (MindSpore's default is the tanh approximation)."""

    def __init__(self) -> None:
        super().__init__("gelu")

    def plain(self, x: Tensor) -> Tensor:
        return ops.gelu(x, approximate="none")


class TanhGELU(Typed):
    """0.5 x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))), the approximation that some networks were
    trained with.
    """

    def construct(self, x: Tensor) -> Tensor:
        """The activation of x, in the operator's type; float32 inside."""
        wide32 = x.astype(ms.float32)
        inner = 0.7978845608028654 * (wide32 + 0.044715 * wide32 * wide32 * wide32)
        return self.answer(x, 0.5 * wide32 * (1.0 + ops.tanh(inner)))


class GEGLU(_Pointwise):
    """(.., 2D) -> (.., D): first half times the exact GELU of the second."""

    def __init__(self) -> None:
        super().__init__("geglu")

    def plain(self, x: Tensor) -> Tensor:
        value, gate = ops.chunk(x, 2, -1)
        return self._times(value, gate)

    def gated(self, value: Tensor, gate: Tensor) -> Tensor:
        """The same of the two halves by themselves, in the plain form."""
        if self.whole:
            return self._times(value, gate)
        dtype = self.result_type(value)
        if self.widens:
            typed = self._times(wide(value, dtype), wide(gate, dtype))
        else:
            typed = self._times(value.astype(dtype), gate.astype(dtype))
        return self.answer(value, typed)

    def _times(self, value: Tensor, gate: Tensor) -> Tensor:
        return value * ops.gelu(gate, approximate="none")
