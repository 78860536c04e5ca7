"""Attention and its gradients in float64, and the inputs that the tests of the 910A kernel
share.
"""

from __future__ import annotations

import numpy as np


def attention(q, k, v, scale, seen=None, do=None):
    """(o, log-sum) or, with the gradient of o, (o, log-sum, dq, dk, dv), of (R, S, D) and (R, T, D)
    arrays; seen (R or 1, S, T).
    """
    q, k, v = (x.astype(np.float64) for x in (q, k, v))
    scores = np.einsum("rsd,rtd->rst", q, k) * scale
    if seen is not None:
        scores = np.where(seen, scores, -np.inf)
    top = np.maximum(scores.max(-1, keepdims=True), -1e300)
    p = np.exp(scores - top)
    total = p.sum(-1, keepdims=True)
    p = p / np.where(total == 0, 1, total)
    with np.errstate(divide="ignore"):
        out = p @ v, (top + np.log(total))[..., 0]
    if do is None:
        return out
    do = do.astype(np.float64)
    ds = p * (np.einsum("rsd,rtd->rst", do, v) - (do * out[0]).sum(-1, keepdims=True)) * scale
    return *out, ds @ k, ds.transpose(0, 2, 1) @ q, p.transpose(0, 2, 1) @ do


def draw(rows, queries, keys, width, seed=0, size=1.0):
    """Random q, k, v and do, float16; queries and keys are `size` times as large."""
    rng = np.random.default_rng(seed)
    q, k, v, do = (rng.standard_normal((rows, n, width)) for n in (queries, keys, keys, queries))
    return tuple(x.astype(np.float16) for x in (q * size, k * size, v, do))


def seen(visible, rows, heads, queries, keys):
    """The mask of a `Visible` for every row."""
    mask = visible.seen(queries, keys)
    return np.repeat(mask, heads, 0) if len(mask) > 1 else mask
