"""A transformer whose attentions over frames read in views, run on one clip of a longer video: it
is handed the tokens of every frame of the views that touch the clip.

Views are run one by one, at one shape, and summed in the order of their first frames: what a frame
becomes does not depend on the clips or the processes.

Legend: B videos, F frames of the clip, W of a view, R = B*F rows, C channels, S pixels, D width.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import mindspore as ms
import numpy as np
from mindspore import Tensor, nn, ops

from mindlong.utils.needed import needed

if TYPE_CHECKING:
    from mindlong.networks.unet.blocks import Transformer
    from mindlong.networks.unet.viewed import ViewedBlock
    from mindlong.networks.unet.views import Views


class ViewedStage:
    """The parts of such a transformer.

    Attributes:
        opening: (x (R, C, H, W), frames) -> tokens (B, F, S, D).
        view: (tokens (B, W, S, D), context) -> the same behind the attentions over frames.
        closing: (tokens (B, F, S, D), x (R, C, H, W), context) -> (R, C, H, W).
    """

    def __init__(self, cell: Transformer, views: Views) -> None:
        block: ViewedBlock = cell.block
        self.views = views
        self.opening, self.view, self.closing = (
            _Opening(cell),
            _Steps(block, block.inside),
            _Closing(cell, block),
        )

    def whole(self, frames: int) -> bool:
        """Whether a video of so many frames is one view."""
        return frames <= self.views.window

    def run(
        self, pool_BKSD: Tensor, places: dict[int, int], mine: range, total: int, context: Tensor
    ) -> Tensor:
        """The clip's tokens behind the attentions over frames, (B, F, S, D).

        Args:
            pool_BKSD: tokens of the clip's frames and of the others that it was handed.
            places: frame of the video -> its place in the pool.
            mine: the clip's frames. total: frames of the video.
        """
        window = self.views.window
        starts = [0] if self.whole(total) else self.views.starts(total)
        shares = _shares(self.views, total)[mine.start : mine.stop]
        summed: Tensor | None = None
        for number, start in enumerate(starts):
            frames = range(start, min(start + window, total))
            if frames.stop <= mine.start or frames.start >= mine.stop:
                continue
            index = Tensor(np.array([places[f] for f in frames], np.int32))
            seen = self.view(ops.gather(pool_BKSD, index, 1), context)
            part = shares[:, number * window : number * window + len(frames)]
            taken = _taken(part, seen)
            summed = taken if summed is None else summed + taken
        return needed(summed, "a view of the clip's frames").astype(pool_BKSD.dtype)


def _shares(views: Views, total: int) -> np.ndarray:
    """float32 (F, views * W): what each frame takes from each place of each view."""
    return np.eye(total, dtype=np.float32) if total <= views.window else views.shares(total)


def _taken(shares_FW: np.ndarray, seen_BWSD: Tensor) -> Tensor:
    """float32 (B, F, S, D): what frames take from the places of one view."""
    batch, length, pixels, width = seen_BWSD.shape
    rows = seen_BWSD.astype(ms.float32).reshape((batch, length, pixels * width))
    weights = Tensor(np.broadcast_to(shares_FW, (batch, *shares_FW.shape)).copy())
    return ops.bmm(weights, rows).reshape((batch, shares_FW.shape[0], pixels, width))


class _Opening(nn.Cell):
    def __init__(self, cell: Transformer) -> None:
        super().__init__(auto_prefix=False)
        self.norm, self.proj_in, self.exchange = cell.norm, cell.proj_in, cell.exchange

    def construct(self, x_RCHW: Tensor, frames: int) -> Tensor:
        rows, channels, height, width = x_RCHW.shape
        y = self.exchange(self.norm(x_RCHW, frames).reshape((rows, channels, height * width, 1)))
        return self.proj_in(y.reshape((rows // frames, frames, height * width, channels)))


class _Steps(nn.Cell):
    def __init__(self, block: ViewedBlock, steps: tuple[tuple[str, str], ...]) -> None:
        super().__init__(auto_prefix=False)
        self.block, self.steps = block, steps

    def construct(self, x_BWSD: Tensor, context: Tensor) -> Tensor:
        return self.block.run(self.steps, x_BWSD, context)


class _Closing(nn.Cell):
    def __init__(self, cell: Transformer, block: ViewedBlock) -> None:
        super().__init__(auto_prefix=False)
        self.block, self.steps, self.proj_out = block, block.behind, cell.proj_out
        self.exchange = cell.exchange

    def construct(self, tokens_BFSD: Tensor, x_RCHW: Tensor, context: Tensor) -> Tensor:
        rows, channels, height, width = x_RCHW.shape
        out = self.proj_out(self.block.run(self.steps, tokens_BFSD, context))
        out = self.exchange(out.reshape((rows, height * width, channels, 1)))
        return x_RCHW + out.reshape(x_RCHW.shape)
