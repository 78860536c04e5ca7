"""Attention on the CPU by the C++ operator of `mindlong/ops/native/flash.h`: forward and backward
with memory of O(S).

It reads heads and frames where they lie: nothing is transposed, gathered or repeated in memory.
float32.

Legend: B videos, F frames, P pixels of a frame, R rows, N heads, D width of a head, S queries, T
keys.
"""

from __future__ import annotations

import mindspore as ms
import numpy as np
from mindspore import Tensor, nn, ops

from mindlong.ops.attention.visible import Visible

HEADS, TOKENS, SPACE, TIME = range(4)  # kinds of flash_layout.h


@ops.constexpr
def _cfg(kind: int, heads: int, gathers: bool, visible: tuple) -> Tensor:
    """What the kernel is given: kind, heads, whether frames are gathered, and the band."""
    band = Visible(*visible) if visible else Visible()
    window = (band.back, band.ahead, band.unit) if band.banded else (0, 0, 0)
    return Tensor(np.array([kind, heads, gathers, *window], np.int64))


@ops.constexpr
def _index(rows: tuple | None) -> Tensor:
    """int32 (blocks, frames); a single zero where no frames are gathered."""
    return Tensor(np.array(rows if rows else ((0,),), np.int32))


class NativeFlash(nn.Cell):
    """The kernel for one number of heads.

    Args:
        heads: N.
        scale: factor on the scores.
    """

    def __init__(self, heads: int, scale: float) -> None:
        super().__init__()
        from mindlong.ops.native import functions

        self.heads, self.scale = heads, functions.constant([scale])
        self.free, self.biased = functions.flash(), functions.flash(bias=True)
        self.flat, self.flat_biased = functions.flash(heads), functions.flash(heads, bias=True)

    def construct(
        self,
        q_BNSD: Tensor,
        k_BNTD: Tensor,
        v_BNTD: Tensor,
        mask: Tensor | None = None,
        visible: tuple = (),
    ) -> Tensor:
        """(B, N, S, D) from (B, N, T, D); the mask is added to the scores and constant, `visible` a
        `Visible`'s fields.
        """
        cfg, index = _cfg(HEADS, q_BNSD.shape[1], False, visible), _index(None)
        if mask is None:
            return self.free(q_BNSD, k_BNTD, v_BNTD, index, self.scale, cfg)[0]
        mask = _four_axes(mask.astype(ms.float32), k_BNTD.shape[2])
        return self.biased(q_BNSD, k_BNTD, v_BNTD, index, self.scale, cfg, ops.stop_gradient(mask))[
            0
        ]

    def tokens(self, q_RSC: Tensor, k_RTC: Tensor, v_RTC: Tensor) -> Tensor:
        """(R, S, N*D) from (R, T, N*D)."""
        return self.flat(
            q_RSC, k_RTC, v_RTC, _index(None), self.scale, _cfg(TOKENS, self.heads, False, ())
        )[0]

    def frames(
        self,
        q_BFPC: Tensor,
        k_BFPC: Tensor,
        v_BFPC: Tensor,
        in_time: bool,
        index: tuple,
        gathers: bool,
        bias: Tensor | None,
    ) -> Tensor:
        """(B, F, P, N*D): block b of frames reads the frames index[b], at all pixels, or `in_time`
        at the pixel's own place.

        Keys and values may have another number of frames.

        Args:
            index: rows of frame numbers, one for each block.
            gathers: False where that is every frame once and in order.
            bias: (blocks, 1, queries of a row or 1, keys of a row) to add to the scores, constant.
        """
        cfg, rows = _cfg(TIME if in_time else SPACE, self.heads, gathers, ()), _index(index)
        if bias is None:
            return self.flat(q_BFPC, k_BFPC, v_BFPC, rows, self.scale, cfg)[0]
        return self.flat_biased(
            q_BFPC, k_BFPC, v_BFPC, rows, self.scale, cfg, ops.stop_gradient(bias)
        )[0]


def _four_axes(mask: Tensor, keys: int) -> Tensor:
    """The mask with all four axes and every key in its last."""
    mask = mask.reshape((1,) * (4 - mask.ndim) + mask.shape)
    return (
        mask
        if mask.shape[3] == keys
        else mask.broadcast_to((mask.shape[0], mask.shape[1], mask.shape[2], keys))
    )
