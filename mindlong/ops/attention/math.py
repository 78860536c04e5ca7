"""The plain form of attention: the oracle of every other backend.

Legend: B batch, N heads, S queries, T keys, D width of a head.
"""

from __future__ import annotations

import mindspore as ms
from mindspore import Tensor, ops


def math_attention(
    q_BNSD: Tensor, k_BNTD: Tensor, v_BNTD: Tensor, scale: float, mask: Tensor | None = None
) -> Tensor:
    """softmax(q k^T * scale + mask) v; the softmax in float32, the answer in q's type."""
    scores = ops.BatchMatMul(transpose_b=True)(q_BNSD * scale, k_BNTD).astype(ms.float32)
    if mask is not None:
        scores = scores + mask
    return ops.BatchMatMul()(ops.softmax(scores, -1).astype(q_BNSD.dtype), v_BNTD)
