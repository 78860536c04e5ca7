"""A stand-in for the vendor's operator that does what its documentation says, and refuses what it
excludes.
"""

import mindspore as ms
import numpy as np
from mindspore import Tensor, ops


@ops.constexpr
def _beyond(queries, keys, before, after, corner):
    """Where a key is after the band, and where before it, with the tokens counted from a corner."""
    key, query = (
        np.arange(keys)[None],
        np.arange(queries)[:, None] + (keys - queries if corner else 0),
    )
    return Tensor(key - query > after), Tensor(query - key > before)


@ops.constexpr
def _require(holds, rule):
    if not holds:
        raise ValueError(f"the vendor's operator: {rule}")


def _checked(query, key, value, head_num, layout):
    _require(layout == "BNSD", "these tests know the layout BNSD")
    _require(query.dtype in (ms.float16, ms.bfloat16), "float16 or bfloat16")
    _require(query.dtype == key.dtype and key.dtype == value.dtype, "one dtype")
    _require(
        query.shape[3] % 16 == 0 and query.shape[3] <= 512,
        "a width of a multiple of 16, at most 512",
    )
    _require(
        query.shape[0] <= 2048 and query.shape[1] == head_num and head_num <= 256,
        "2k rows of 256 heads",
    )


def _discarded(mask, queries, keys, mode, before, after):
    if mode == 0:
        return ops.logical_or(
            ops.logical_or(mask != 0, _beyond(queries, keys, before, after, False)[0]),
            _beyond(queries, keys, before, after, False)[1],
        )
    _require(mode == 4 and mask.shape == (2048, 2048), "mode 4 takes the compressed mask")
    late, early = _beyond(queries, keys, before, after, True)
    above, below = mask[0, 1] != 0, mask[1, 0] != 0
    return ops.logical_or(
        ops.logical_and(late, above), ops.logical_and(early, ops.logical_not(below))
    )


def make(scale_shift=False):
    """The operator; `scale_shift`: the shift is scaled too, as CANN says and MindSpore does not."""

    def operator(
        query,
        key,
        value,
        head_num,
        real_shift=None,
        attn_mask=None,
        scalar_value=1.0,
        pre_tokens=2147483647,
        next_tokens=2147483647,
        input_layout="BSH",
        sparse_mode=0,
    ):
        _checked(query, key, value, head_num, input_layout)
        scores = (
            ops.BatchMatMul(transpose_b=True)(query.astype(ms.float32), key.astype(ms.float32))
            * scalar_value
        )
        if real_shift is not None:
            _require(real_shift.dtype == query.dtype, "the shift has the dtype of the query")
            _require(
                real_shift.shape[1:] == scores.shape[1:]
                and real_shift.shape[0] in (1, query.shape[0]),
                "(B or 1, N, S, T)",
            )
            shift = real_shift.astype(ms.float32)
            scores = scores + (shift * scalar_value if scale_shift else shift)
        if attn_mask is not None:
            _require(attn_mask.dtype in (ms.bool_, ms.uint8), "a mask of bool or uint8")
            gone = _discarded(
                attn_mask, query.shape[2], key.shape[2], sparse_mode, pre_tokens, next_tokens
            )
            scores = ops.select(
                ops.broadcast_to(gone, scores.shape), ops.full_like(scores, -1e30), scores
            )
        return ops.BatchMatMul()(ops.softmax(scores, -1), value.astype(ms.float32)).astype(
            query.dtype
        )

    return operator
