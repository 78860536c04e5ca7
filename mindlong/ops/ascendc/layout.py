"""What the operators of the 910A take and give, beside the tensors: one array of control, and
strips of tails.

The kernels read int32 control = heads, scale (float32, its bits), frames back (-1: no window),
frames ahead, tokens of a frame, powers of two that the gradient of the output is divided by while
the backward kernels work on it, two zeros, then for each batch row the number of keys that count.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from mindlong.ops.attention.visible import Visible

ROWS, LANES = 128, 16  # rows of a tile, and halves of a tail
POWERS = 5  # where control holds the powers of two
MOST_POWERS = 63
LARGEST_HALF = 65504.0
STEP, WIDEST = 16, 160  # widths of a head
FORWARD, BACKWARD_QUERIES, BACKWARD_KEYS = OPERATORS = (
    "MindlongAttentionForward",
    "MindlongAttentionBackwardQueries",
    "MindlongAttentionBackwardKeys",
)


def control(
    batch: int, heads: int, keys: int, scale: float, visible: Visible | None = None
) -> np.ndarray:
    """int32 (8 + batch,) for tensors of `batch` rows of `heads` heads and `keys` keys."""
    out = np.zeros(8 + batch, np.int32)
    out[:5] = heads, np.float32(scale).view(np.int32), -1, 0, 1
    out[8:] = keys
    if visible is not None:
        out[2:5] = visible.back, visible.ahead, visible.unit
        out[8:] = np.minimum(visible.key_counts or keys, keys)
    return out


def powers(v_RTD: np.ndarray, do_RSD: np.ndarray) -> int:
    """Powers of two that keep do v^T - delta within the halves once do is divided by them; 0 for
    most.

    No product of a row of do and one of v is larger than width * max |do| * max |v|, and delta is a
    mean of such.
    """
    width = v_RTD.shape[-1]
    bound = 2.0 * width * float(np.abs(do_RSD).max()) * float(np.abs(v_RTD).max())
    if not np.isfinite(bound):  # nothing to save
        return MOST_POWERS
    return int(np.ceil(np.log2(max(bound, LARGEST_HALF) / LARGEST_HALF)))


def padded(width: int) -> int:
    """The width of a head with its padding."""
    return -(-width // STEP) * STEP


def tails(rows: int, queries: int) -> tuple[int, int, int, int]:
    """Shape of the log-sums (and deltas) of `rows` = batch * heads rows of `queries` queries: a
    tail of float16 for each.
    """
    return rows, -(-queries // ROWS), ROWS, LANES


def from_tails(tails_RBQL: np.ndarray, queries: int) -> np.ndarray:
    """float64 (rows, queries): the numbers that tails stand for, -(512 a + b + c / 4096) in three
    halves.
    """
    t = tails_RBQL.astype(np.float64)
    return -(512 * t[..., 0] + t[..., 1] + t[..., 2] / 4096).reshape(len(t), -1)[:, :queries]
