"""Attention by chunks of queries whose weights are computed again in the backward pass: the
fallback for long sequences.

Legend: B batch, N heads, S queries, T keys, D width of a head.
"""

from __future__ import annotations

import mindspore as ms
from mindspore import Tensor, nn, ops

from mindlong.ops.attention.math import math_attention


class _Part(nn.Cell):
    """The plain form for some of the queries."""

    def __init__(self, scale: float) -> None:
        super().__init__()
        self.scale = scale

    def construct(self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None) -> Tensor:
        return math_attention(q, k, v, self.scale, mask)


class ChunkedAttention(nn.Cell):
    """softmax(q k^T * scale + mask) v, at most `chunk` queries at a time.

    Args:
        scale: factor on the scores.
        chunk: queries of a part.

    construct(q (B,N,S,D), k, v (B,N,T,D)[, mask additive, broadcastable to (B,N,S,T)]) ->
    (B,N,S,D). Of the scores and weights only one part's are alive at a time on an NPU; the CPU's
    graph runtime keeps every intermediate.
    """

    def __init__(self, scale: float, chunk: int = 1024) -> None:
        super().__init__()
        self.part, self.chunk = _Part(scale), chunk
        if ms.get_context("mode") == ms.GRAPH_MODE:
            self.part.recompute()

    def construct(
        self, q_BNSD: Tensor, k_BNTD: Tensor, v_BNTD: Tensor, mask: Tensor | None = None
    ) -> Tensor:
        length, parts = q_BNSD.shape[2], ()
        for start in range(0, length, self.chunk):
            stop = min(start + self.chunk, length)
            rows = mask
            if mask is not None and mask.shape[-2] == length:
                rows = mask[..., start:stop, :]
            parts += (self.part(q_BNSD[:, :, start:stop], k_BNTD, v_BNTD, rows),)
        return ops.concat(parts, 2) if len(parts) > 1 else parts[0]
