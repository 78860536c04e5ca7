"""The plain form of attention, and the same in chunks of queries: the oracle of every other backend.

Legend: B batch, N heads, S queries, T keys, D width of a head.
"""

from __future__ import annotations

import mindspore as ms
from mindspore import Tensor, ops


def math_attention(q_BNSD: Tensor, k_BNTD: Tensor, v_BNTD: Tensor, scale: float, mask: Tensor | None = None) -> Tensor:
    """softmax(q k^T * scale + mask) v; the softmax in float32, the answer in q's type."""
    scores = ops.BatchMatMul(transpose_b=True)(q_BNSD * scale, k_BNTD).astype(ms.float32)
    if mask is not None:
        scores = scores + mask
    return ops.BatchMatMul()(ops.softmax(scores, -1).astype(q_BNSD.dtype), v_BNTD)


def chunked_attention(q_BNSD: Tensor, k_BNTD: Tensor, v_BNTD: Tensor, scale: float, mask: Tensor | None = None,
                      chunk: int = 1024) -> Tensor:
    """The same numbers with at most `chunk` queries at a time, so that the scores of one chunk are in memory at once.

    On an NPU that lowers the peak; the CPU's graph runtime keeps every intermediate and gains nothing.
    """
    length = q_BNSD.shape[2]
    if length <= chunk:
        return math_attention(q_BNSD, k_BNTD, v_BNTD, scale, mask)
    parts = ()
    for start in range(0, length, chunk):
        stop = min(start + chunk, length)
        rows = mask
        if mask is not None and mask.shape[-2] == length:
            rows = mask[..., start:stop, :]
        parts += (math_attention(q_BNSD[:, :, start:stop], k_BNTD, v_BNTD, scale, rows),)
    return ops.concat(parts, 2)
