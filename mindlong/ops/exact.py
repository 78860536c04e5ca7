"""Sums that must not be rounded to halves.

On a CPU a product of matrices is the fast form of a sum. An NPU's cube multiplies float32 numbers
as halves (910A) or with 10 bits (HF32 on a 910B): there the vector unit sums in float32.
"""

from __future__ import annotations

import mindspore as ms
from mindspore import Tensor, ops

from mindlong.ops import device


@ops.constexpr
def _on_cpu() -> bool:
    return device.chip() == "cpu"


def sum_of_squares(x: Tensor) -> Tensor:
    """float32 (1,): the sum of the squares of all numbers of `x`."""
    row = x.astype(ms.float32).reshape((1, -1))
    if _on_cpu():
        return ops.matmul(row, row.reshape((-1, 1))).reshape(1)
    return ops.square(row).sum(1)


def looked_up(choice_RK: Tensor, table_KN: Tensor) -> Tensor:
    """float32 (R, N): rows of the table by one-hot rows; the gradient adds in a fixed order."""
    table = table_KN.astype(ms.float32)
    if _on_cpu():
        return ops.matmul(choice_RK, table)
    return (choice_RK.expand_dims(2) * table.expand_dims(0)).sum(1)
