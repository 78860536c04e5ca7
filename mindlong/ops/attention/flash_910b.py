"""The vendor's flash attention on a 910B: `ops.flash_attention_score`, and how to say to it what is
meant.

Sources: the operator's documentation in MindSpore 2.10, and CANN's pages on FlashAttentionScore and
on its sparse modes. `plan` is a pure function of shapes and of masks known on the host;
`attend_910b` does what it says. Gradients are the operator's own, through the padding.

Legend: B rows, N heads, S queries, T keys, D width of a head.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import mindspore as ms
import numpy as np
from mindspore import Tensor, ops

from mindlong.ops.attention.visible import Visible
from mindlong.utils.errors import ConfigError

vendor_operator = ops.flash_attention_score

STEP, WIDEST = 16, 512  # widths of a head that the operator takes
LONGEST, MOST_ROWS, MOST_HEADS = 512 * 1024, 2048, 256
COMPRESSED = 2048  # side of the one triangle that stands for every band
LARGEST_MASK = 1 << 30  # bytes
OPEN = 2147483647  # no bound on the tokens before or after


@dataclass(frozen=True)
class Plan:
    """The operator's arguments.

    Attributes:
        rows, heads: what B and N are reshaped to; their product stays.
        width: D with its padding of zeros.
        scalar_value: the operator's factor on the scores.
        scale_queries: the factor that is on the queries already, or 1.
        discard: uint8, 1 where a key is not seen, (S, T), (B, 1, S, T) or the compressed triangle;
            None: everything is seen.
    """

    rows: int
    heads: int
    width: int
    scalar_value: float
    scale_queries: float
    sparse_mode: int
    pre_tokens: int
    next_tokens: int
    discard: np.ndarray | None


def plan(
    shape_BNSD: tuple[int, ...],
    keys: int,
    scale: float,
    visible: Visible | None = None,
    bias_rows: int = 0,
) -> Plan:
    """Arguments for queries of `shape_BNSD` on `keys` keys.

    Args:
        bias_rows: rows of the additive bias, 1 or B; 0: there is none.

    The rules: the width is padded to a multiple of 16 and the scale stays that of the true width.
    More rows than the operator takes are moved into the heads, which are as independent. With an
    additive bias the scale goes onto the queries and the operator gets 1, because the two
    documentations disagree whether the bias is scaled too.

    Raises:
        ConfigError: a limit of the operator is broken, or a query sees nothing.
    """
    batch, heads, queries, width = shape_BNSD
    _check_size(shape_BNSD, keys)
    visible = visible or Visible()
    per_row = bias_rows > 1 or visible.key_counts is not None and len(set(visible.key_counts)) > 1
    rows, heads = (batch, heads) if per_row else _folded(batch, heads)
    if rows > MOST_ROWS or heads > MOST_HEADS:
        raise ConfigError(
            f"the 910B operator takes {MOST_ROWS} rows of {MOST_HEADS} heads; it got {rows} of {heads}"
        )
    mode, before, after, discard = _masks(visible, queries, keys)
    return Plan(
        rows,
        heads,
        -(-width // STEP) * STEP,
        1.0 if bias_rows else scale,
        scale if bias_rows else 1.0,
        mode,
        before,
        after,
        discard,
    )


def _check_size(shape_BNSD: tuple[int, ...], keys: int) -> None:
    queries, width = shape_BNSD[2:]
    if width > WIDEST or max(queries, keys) > LONGEST or min(*shape_BNSD, keys) < 1:
        raise ConfigError(
            f"the 910B operator takes heads of width 1 to {WIDEST} and 1 to {LONGEST} tokens; "
            f"it got a width of {width}, {queries} queries and {keys} keys"
        )


def _folded(batch: int, heads: int) -> tuple[int, int]:
    """Rows and heads of the same product, with as few heads more as bring the rows within the
    limit.
    """
    for factor in range(1, MOST_HEADS // heads + 1):
        if batch % factor == 0 and batch // factor <= MOST_ROWS:
            return batch // factor, heads * factor
    return batch, heads


def _masks(visible: Visible, queries: int, keys: int) -> tuple[int, int, int, np.ndarray | None]:
    """sparse_mode, pre_tokens, next_tokens and the mask."""
    visible.check(queries, keys)
    counted = visible.key_counts is not None and min(visible.key_counts) < keys
    if not visible.banded and not counted:
        return 0, OPEN, OPEN, None
    # In mode 4 the tokens are counted from the lower right corner, which is the upper left one's
    # diagonal only in a square.
    if visible.unit == 1 and not counted and queries == keys > COMPRESSED:
        return 4, min(visible.back, OPEN), min(visible.ahead, OPEN), _triangle()
    size = queries * keys * (len(visible.key_counts) if counted else 1)
    if size > LARGEST_MASK:
        raise ConfigError(
            f"the mask of {queries} x {keys} tokens would take {size >> 20} MB on the 910B, "
            f"{LARGEST_MASK >> 20} at most; use fewer frames at once or attention.backend=chunked"
        )
    # CANN asks that in mode 0 mask and tokens mean the same keys. A window of frames is a stair,
    # which no band of tokens is, so the tokens stay open and the mask alone says it.
    discard = ~visible.seen(queries, keys)
    same = discard[0] if len(discard) == 1 else discard[:, None]
    return 0, OPEN, OPEN, same.astype(np.uint8)


def _triangle() -> np.ndarray:
    """The compressed mask of a band: 1 above the diagonal."""
    return np.triu(np.ones((COMPRESSED, COMPRESSED), np.uint8), 1)


@functools.lru_cache(maxsize=64)
def _cached(
    shape: tuple[int, ...], keys: int, scale: float, visible: Visible, bias_rows: int
) -> Plan:
    return plan(shape, keys, scale, visible, bias_rows)


@ops.constexpr
def _planned(shape, keys, scale, visible, bias_rows):
    """The plan as constants of a graph: numbers, and the mask as a tensor."""
    p = _cached(tuple(shape), keys, scale, Visible(*visible), bias_rows)
    mask = None if p.discard is None else Tensor(p.discard)
    return (
        p.rows,
        p.heads,
        p.width,
        p.scalar_value,
        p.scale_queries,
        p.sparse_mode,
        p.pre_tokens,
        p.next_tokens,
        mask,
    )


def _widened(x: Tensor, width: int) -> Tensor:
    more = width - x.shape[-1]
    if more == 0:
        return x
    return ops.concat((x, ops.zeros((x.shape[0], x.shape[1], x.shape[2], more), x.dtype)), -1)


def attend_910b(
    q_BNSD: Tensor,
    k_BNTD: Tensor,
    v_BNTD: Tensor,
    scale: float,
    visible: tuple = (),
    bias: Tensor | None = None,
) -> Tensor:
    """softmax(q k^T * scale + mask) v by the vendor's operator, for use inside `construct`.

    Args:
        q_BNSD, k_BNTD, v_BNTD: float16 or bfloat16.
        visible: the fields of a `Visible`, in order; () for no such mask.
        bias: added to the scores, (B or 1, N, S, T); one for all rows is repeated for the heads
            that rows become.
    """
    rows, heads, width, scalar, on_queries, mode, before, after, mask = _planned(
        q_BNSD.shape, k_BNTD.shape[2], scale, visible, 0 if bias is None else bias.shape[0]
    )
    q = q_BNSD if bias is None else (q_BNSD.astype(ms.float32) * on_queries).astype(q_BNSD.dtype)
    q, k, v = _widened(q, width), _widened(k_BNTD, width), _widened(v_BNTD, width)
    q = q.reshape((rows, heads, q.shape[2], width))
    k, v = k.reshape((rows, heads, k.shape[2], width)), v.reshape((rows, heads, v.shape[2], width))
    shift = (
        None
        if bias is None
        else ops.concat((bias.astype(q.dtype),) * (heads // q_BNSD.shape[1]), 1)
    )
    out = vendor_operator(
        q,
        k,
        v,
        heads,
        real_shift=shift,
        attn_mask=mask,
        scalar_value=scalar,
        pre_tokens=before,
        next_tokens=after,
        input_layout="BNSD",
        sparse_mode=mode,
    )
    if width > q_BNSD.shape[3]:  # a slice of everything is a copy too
        out = out[..., : q_BNSD.shape[3]]
    return out.reshape(q_BNSD.shape)
