"""Attention over keys that lie in several places: each place gives the part that its keys have in
the softmax, and the parts are merged in a fixed order, so that the result does not depend on where
the keys lie.

A part is float32 (B, N, S, D + 2): the sum of exp(s - m) v, then m, the largest score, then the sum
of exp(s - m).

Legend: B batch, N heads, S queries, T keys, D width of a head.
"""

from __future__ import annotations

from collections.abc import Sequence

import mindspore as ms
import numpy as np
from mindspore import Tensor, nn, ops

NOTHING = -6e4  # the largest score of a part without keys


class PartialAttention(nn.Cell):
    """A part: construct(q (B, N, S, D), k, v (B, N, T, D), bias) -> (B, N, S, D + 2).

    Args:
        scale: factor on the scores.

    `bias` (1,) is added to all scores. The plain form, in float32, whatever its inputs are.
    """

    def __init__(self, scale: float) -> None:
        super().__init__()
        self.scale, self.product = scale, ops.BatchMatMul()
        self.scored = ops.BatchMatMul(transpose_b=True)

    def construct(self, q_BNSD: Tensor, k_BNTD: Tensor, v_BNTD: Tensor, bias: Tensor) -> Tensor:
        q, k, v = (x.astype(ms.float32) for x in (q_BNSD, k_BNTD, v_BNTD))
        scores = self.scored(q * self.scale, k) + bias
        largest = scores.max(-1, keepdims=True)
        weights = ops.exp(scores - largest)
        return ops.concat((self.product(weights, v), largest, weights.sum(-1, keepdims=True)), -1)


def nothing(shape_BNSD: tuple[int, ...]) -> np.ndarray:
    """The part of a place that has no keys."""
    part = np.zeros((*shape_BNSD[:3], shape_BNSD[3] + 2), np.float32)
    part[..., -2] = NOTHING
    return part


def merged(parts: Sequence[np.ndarray]) -> np.ndarray:
    """softmax(q k^T) v over all places, float32 (B, S, N D), heads side by side: summed in float64
    in the order of `parts`.
    """
    largest = np.maximum.reduce([part[..., -2:-1] for part in parts]).astype(np.float64)
    total, weight = np.float64(0), np.float64(0)
    for part in parts:
        factor = np.exp(part[..., -2:-1].astype(np.float64) - largest)
        total = total + part[..., :-2] * factor
        weight = weight + part[..., -1:] * factor
    out = (total / weight).astype(np.float32).transpose(0, 2, 1, 3)
    return np.ascontiguousarray(out.reshape(*out.shape[:2], -1))
