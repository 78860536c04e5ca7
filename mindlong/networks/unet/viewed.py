"""Transformer blocks whose attentions over frames read a long video in views
(`mindlong.networks.unet.views`).

Legend: B videos, F frames, V views, W frames of a view, S pixels of a frame, D channels. Tokens
stay x_BFSD.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import mindspore as ms
from mindspore import Tensor, nn, ops

from mindlong.networks.unet.attention import PolicyAttention, TransformerBlock

if TYPE_CHECKING:
    from mindlong.networks.unet.spec import UNetSpec
    from mindlong.networks.unet.stage_spec import Transformer
    from mindlong.networks.unet.views import Views


def block_of(spec: UNetSpec, stage: Transformer, width: int, heads: int) -> nn.Cell:
    """The block of a transformer."""
    views = stage.views
    if views is None or not any(b.kind == "time" for b in stage.branches):
        return TransformerBlock(spec, stage.branches, width, heads)
    if views.around == "block":
        return ViewedBlock(spec, stage, views, width, heads)
    block = TransformerBlock(spec, stage.branches, width, heads)
    for branch in stage.branches:
        if branch.kind == "time":
            whole = getattr(block, branch.name)
            setattr(block, branch.name, ViewedAttention(whole, views))
    return block


class Fold(nn.Cell):
    """Frames to views and back: `apart` (B, F, S, D) -> (B*V, W, S, D); `together` the weighted
    mean of the views of each frame, taken in float32.
    """

    def __init__(self, views: Views) -> None:
        super().__init__()
        self.window = views.window
        self.index, self.shares = _tables(views)

    def apart(self, x_BFSD: Tensor) -> Tensor:
        """(B, F, S, D) -> (B*V, W, S, D)."""
        batch, frames, pixels, width = x_BFSD.shape
        seen = ops.gather(x_BFSD, self.index(frames), 1)
        return seen.reshape((-1, self.window, pixels, width))

    def together(self, x_VWSD: Tensor, frames: int) -> Tensor:
        """(B*V, W, S, D) -> (B, F, S, D), of x's type."""
        shares_1FN = self.shares(frames)
        pixels, width = x_VWSD.shape[2:]
        rows = x_VWSD.astype(ms.float32).reshape((-1, shares_1FN.shape[2], pixels * width))
        shares = shares_1FN.broadcast_to((rows.shape[0], frames, shares_1FN.shape[2]))
        found = ops.bmm(shares, rows).reshape((-1, frames, pixels, width))
        return found.astype(x_VWSD.dtype)


def _tables(views: Views):  # noqa: ANN202  two functions of the frames, constants of the graph
    @ops.constexpr
    def index(frames: int) -> Tensor:
        return Tensor(views.index(frames))

    @ops.constexpr
    def shares(frames: int) -> Tensor:
        return Tensor(views.shares(frames)[None])

    return index, shares


class ViewedBlock(TransformerBlock):
    """All attentions over frames run inside each view, with their norms, places and skips; the rest
    of the block sees the averaged frames.
    """

    def __init__(
        self, spec: UNetSpec, stage: Transformer, views: Views, width: int, heads: int
    ) -> None:
        super().__init__(spec, stage.branches, width, heads)
        timed = sum(b.kind == "time" for b in stage.branches)
        self.inside, self.behind = self.steps[:timed], self.steps[timed:]
        self.window, self.fold = views.window, Fold(views)

    def construct(self, x_BFSD: Tensor, context: Tensor) -> Tensor:
        """(B, F, S, D) -> (B, F, S, D)."""
        frames = x_BFSD.shape[1]
        if frames <= self.window:
            return self.run(self.steps, x_BFSD, context)
        seen = self.run(self.inside, self.fold.apart(x_BFSD), context)
        return self.run(self.behind, self.fold.together(seen, frames), context)


class ViewedAttention(nn.Cell):
    """An attention over frames whose keys are those of one view at a time. It takes over the
    projections of `whole`.
    """

    def __init__(self, whole: PolicyAttention, views: Views) -> None:
        super().__init__()
        self.attend = whole.attend
        self.to_q, self.to_k, self.to_v, self.to_out = (
            whole.to_q,
            whole.to_k,
            whole.to_v,
            whole.to_out,
        )
        self.window, self.fold = views.window, Fold(views)

    def construct(self, x_BFSD: Tensor, context: Tensor | None = None) -> Tensor:
        """(B, F, S, D) -> (B, F, S, D)."""
        q, k, v = self.to_q(x_BFSD), self.to_k(x_BFSD), self.to_v(x_BFSD)
        frames = x_BFSD.shape[1]
        if frames <= self.window:
            return self.to_out(self.attend(q, k, v))
        seen = self.attend(self.fold.apart(q), self.fold.apart(k), self.fold.apart(v))
        return self.to_out(self.fold.together(seen, frames))
