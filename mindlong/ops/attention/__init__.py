"""Attention: one entry.

`attention(q, k, v, scale=...)` inside `construct` is the plain form, or "chunked" by queries.
"""

from __future__ import annotations

from mindspore import Tensor

from mindlong.ops.attention.math import chunked_attention, math_attention


def attention(q_BNSD: Tensor, k_BNTD: Tensor, v_BNTD: Tensor, *, scale: float, mask: Tensor | None = None,
              backend: str = "auto") -> Tensor:
    """softmax(q k^T * scale + mask) v for (batch, heads, length, width) tensors.

    Args:
        scale: factor on the scores, usually 1 / sqrt(width).
        mask: float32, added to the scores, broadcastable to (B, N, S, T); None for none.
        backend: "math", "chunked", or "auto", which is math.
    """
    if backend == "chunked":
        return chunked_attention(q_BNSD, k_BNTD, v_BNTD, scale, mask)
    return math_attention(q_BNSD, k_BNTD, v_BNTD, scale, mask)
