"""A video UNet run on one clip of a longer video, which asks for what it needs of the other clips.

`ClipRun.forward` is a generator: it yields an `Ask` wherever a layer sees other frames and is sent
an `Answer`. Whoever drives it (mindlong.parallel.sync) runs the clips of a video side by side, in
one process or in several, and passes the frames on; the network knows nothing of that.

Legend: B videos, F frames of this clip, R = B*F rows, C channels, S pixels, D width of a token.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from mindspore import Tensor, nn, ops

from mindlong.networks.sharded import Ask, Talk
from mindlong.networks.unet import sharded_stages as cells
from mindlong.networks.unet import stage_spec as words
from mindlong.networks.unet.blocks import (
    JoinLayer,
    LargerLayer,
    Layer,
    Smaller,
    TemporalConvs,
    Transformer,
)
from mindlong.networks.unet.rows import fold, unfold
from mindlong.networks.unet.shardable import check_shardable
from mindlong.networks.unet.sharded_views import ViewedStage
from mindlong.ops.precision import joined

if TYPE_CHECKING:
    from mindlong.networks.unet.cell import UNet
    from mindlong.plans.clip_layout import ClipLayout


class ShardedUNet:
    """A UNet's layers, ready to be run clip by clip. It shares the parameters of `unet`.

    Args:
        exact: norms over the whole video and a halo for each convolution; else the original's form
            with `context` frames.

    Raises:
        ConfigError: a network of another family.
    """

    def __init__(self, unet: UNet, exact: bool = True, context: int = 4) -> None:
        check_shardable(unet.spec)
        self.unet, self.exact, self.groups, self.context = unet, exact, unet.spec.groups, context
        self.frame_moments, self.embed = cells.FrameMoments(self.groups), _Embedding(unet)
        self.norm_convs: dict[int, cells.NormConv] = {}
        self.pieces: dict[int, Any] = {}
        if unet.entered:
            self.pieces[id(unet.entry)] = self.transformer_pieces(
                unet.entry, unet.spec.entry, unet.spec.entry_heads
            )
        stages = {stage.name: stage for stage in unet.spec.stages}
        for layer, level in _layers(unet):
            for name in layer.order:
                self.pieces[id(getattr(layer, name))] = self._made(
                    getattr(layer, name), stages[name], level.heads
                )

    def clip(self, layout: ClipLayout, number: int, park: Callable[[Tensor], Any]) -> ClipRun:
        """One clip's way through the network."""
        return ClipRun(self, layout, number, park)

    def _made(self, cell: nn.Cell, stage: words.Stage, heads: int) -> Any:
        """What runs a stage; None for one that sees single frames."""
        if isinstance(stage, words.TemporalConv):
            width = cell.convs[0].cout
            if not self.exact:
                return cells.ChunkConvs(cell, self.context)
            return self.norm_convs.setdefault(width, cells.NormConv(width, self.groups))
        if isinstance(stage, words.Transformer) and stage.views is not None:
            return ViewedStage(cell, stage.views)
        if isinstance(stage, words.Transformer) and stage.joint:
            return self.transformer_pieces(cell, stage, heads)
        return None

    def transformer_pieces(
        self, cell: Transformer, stage: words.Transformer, heads: int
    ) -> list[nn.Cell]:
        """The parts of a transformer over frames between its attentions."""
        steps = tuple((b.norm, b.name) for b in stage.branches)
        timed = [i for i, branch in enumerate(stage.branches) if branch.kind == "time"]
        pools = [
            cells.PoolAttention(getattr(cell.block, steps[i][1]), heads, self.unet.spec.upcast)
            for i in timed
        ]
        made: list[nn.Cell] = [cells.Opening(cell, steps[: timed[0]], steps[timed[0]][0])]
        for pool, here, after in zip(pools[:-1], timed[:-1], timed[1:], strict=True):
            made.append(cells.Between(cell, pool, steps[here + 1 : after], steps[after][0]))
        return [*made, cells.Closing(cell, pools[-1], steps[timed[-1] + 1 :])]


def _layers(unet: UNet) -> list[tuple[nn.Cell, words.Level]]:
    """Every layer with the level that it belongs to."""
    down = [level for level in unet.spec.down() for _ in range(len(level.layers) + level.resample)]
    up = [level for level in unet.spec.up() for _ in level.layers]
    pairs = [
        *zip(unet.down, down, strict=True),
        *((layer, unet.spec.mid()) for layer in unet.mid),
        *zip(unet.up, up, strict=True),
    ]
    return [(layer, level) for layer, level in pairs if not isinstance(layer, Smaller)]


class _Embedding(nn.Cell):
    """What residual blocks are conditioned on: (t (B,), fps (B,) or nothing, frames, place of the
    first) -> (R, E).
    """

    def __init__(self, unet: UNet) -> None:
        super().__init__(auto_prefix=False)
        self.unet = unet

    def construct(self, t_B: Tensor, fps_B: Tensor | None, frames: int, start: int) -> Tensor:
        return self.unet.embedding((t_B, fps_B), frames, None, start)


class ClipRun:
    """One clip's way through the network.

    Args:
        clip: which of the layout's clips.
        park: what keeps a tensor until it is needed again: the identity, or a copy to host memory.
    """

    def __init__(
        self,
        network: ShardedUNet,
        layout: ClipLayout,
        clip: int,
        park: Callable[[Tensor], Any] = lambda x: x,
    ) -> None:
        self.network, self.unet, self.layout, self.clip, self.park = (
            network,
            network.unet,
            layout,
            clip,
            park,
        )
        self.frames = len(layout.clips[clip])
        self.exports = {kind: self._places(kind) for kind in ("conv", "attention")}
        self.reading = layout.reading(clip)
        self.index = Tensor(self.reading.index)
        self.factor = Tensor(layout.factors(clip).reshape((1, -1, 1, 1)))
        self.exists = Tensor(np.array([w >= 0 for w in layout.wanted("conv", clip)], np.float32))
        self.biases: dict[tuple[float, float], Tensor] = {}

    def _places(self, kind: str) -> Tensor | None:
        start = self.layout.clips[self.clip].start
        places = [f - start for f in self.layout.exports(kind, self.clip)]
        return Tensor(np.array(places, np.int32)) if places else None

    def forward(
        self,
        x_BCFHW: np.ndarray,
        t_B: np.ndarray,
        context: np.ndarray,
        fps_B: np.ndarray | None = None,
    ) -> Talk:
        """The network's prediction for this clip: float32 (B, out_channels, F, h, w). Arguments as
        `UNet.construct`.
        """
        self.unet.spec.check_inputs(x_BCFHW.shape, t_B.shape, context.shape, fps_B is not None)
        self.t = int(t_B[0])
        start = (
            self.layout.clips[self.clip].start if self.unet.placed else 0
        )  # a constant of the graph
        self.emb = self.network.embed(
            Tensor(t_B), None if fps_B is None else Tensor(fps_B), self.frames, start
        )
        self.context = Tensor(context)
        x = self.unet.conv_in(fold(Tensor(x_BCFHW)), self.frames)
        if self.unet.entered:
            x = yield from self.transformer(self.unet.entry, x)
        kept = [self.park(x)]
        for block in self.unet.down:
            x = yield from self.down_block(block, kept[-1])
            kept.append(self.park(x))
        for layer in self.unet.mid:
            x = yield from self.layer(layer, x)
        before = [kept[0], *kept]
        for i, layer in enumerate(self.unet.up):
            x = yield from self.up_block(layer, x, kept.pop(), before[-2 - i].shape[2:])
        out = self.unet.conv_out(self.unet.norm_out(x, self.frames), self.frames)
        return unfold(out, self.frames).asnumpy().astype(np.float32)

    def down_block(self, block: nn.Cell, x: Any) -> Talk:
        """A layer, or the step to half the size."""
        x = x if isinstance(x, Tensor) else Tensor(x)
        if isinstance(block, Smaller):
            return block(x, self.emb, self.context, self.frames)
        return (yield from self.layer(block, x))

    def up_block(
        self, layer: JoinLayer | LargerLayer, x: Tensor, kept: Any, size: tuple[int, int]
    ) -> Talk:
        """A layer that reads a kept feature, and the step to the next size where there is one."""
        x = yield from self.layer(
            layer, joined(x, kept if isinstance(kept, Tensor) else Tensor(kept), 1)
        )
        return layer.resample(x, tuple(size), self.frames) if isinstance(layer, LargerLayer) else x

    def layer(self, layer: Layer, x: Tensor) -> Talk:
        """The stages of a layer in their order."""
        for name in layer.order:
            stage = getattr(layer, name)
            if self.network.pieces[id(stage)] is None:
                x = stage(x, self.emb, self.context, self.frames)
            elif isinstance(self.network.pieces[id(stage)], ViewedStage):
                x = yield from self.viewed(self.network.pieces[id(stage)], x)
            elif isinstance(stage, Transformer):
                x = yield from self.transformer(stage, x)
            else:
                x = yield from self.convolutions(stage, x)
        return x

    def convolutions(self, stage: TemporalConvs, x: Tensor) -> Talk:
        """The temporal convolutions beside their skip."""
        piece = self.network.pieces[id(stage)]
        if not self.network.exact:
            h = cells.by_video(x, self.frames)
            answer = yield Ask("conv", self.exported(h, "conv"))
            return piece(h, Tensor(answer.frames))
        h, moments = x, self.network.frame_moments(x)
        for norm, conv in zip(stage.norms, stage.convs, strict=True):
            whole = cells.by_video(h, self.frames)
            answer = yield Ask("conv", self.exported(whole, "conv"), self.numbers(moments))
            parameters = (
                norm.weight.value(),
                norm.bias.value(),
                conv.weight.value(),
                conv.bias.value(),
            )
            taken = _moments(answer.numbers, self.per_group(whole), norm.eps)
            h, moments = piece(
                whole, Tensor(answer.frames), self.exists, Tensor(taken), *parameters
            )
        return x + h

    def viewed(self, piece: ViewedStage, x: Tensor) -> Talk:
        """A transformer whose attentions over frames read in views."""
        tokens, mine = piece.opening(x, self.frames), self.layout.clips[self.clip]
        answer = yield Ask("attention", self.exported(tokens, "attention"))
        held = [*mine, *self.layout.wanted("attention", self.clip)]
        pool = ops.concat((tokens, Tensor(answer.frames).astype(tokens.dtype)), 1)
        places = {frame: place for place, frame in enumerate(held)}
        seen = piece.run(pool, places, mine, self.layout.frames, self.context)
        return piece.closing(seen, x, self.context)

    def transformer(self, stage: Transformer, x: Tensor) -> Talk:
        """A transformer over frames."""
        opening, *rest = self.network.pieces[id(stage)]
        own = self.numbers(self.network.frame_moments(x))
        numbers = (yield Ask("norm", None, own)).numbers if self.network.exact else own
        taken = Tensor(
            _moments(numbers, self.per_group(cells.by_video(x, self.frames)), stage.norm.eps)
        )
        tokens, y = opening(x, taken, self.context, self.frames)
        for piece in rest[:-1]:
            others = Tensor((yield Ask("attention", self.exported(y, "attention"))).frames)
            tokens, y = piece(tokens, y, others, self.index, self.bias(), self.factor, self.context)
        others = Tensor((yield Ask("attention", self.exported(y, "attention"))).frames)
        return rest[-1](tokens, y, others, self.index, self.bias(), self.factor, self.context, x)

    def exported(self, x_BF: Tensor, kind: str) -> np.ndarray:
        """The frames that other clips need, on the host."""
        places = self.exports[kind]
        if places is None:
            return np.zeros(
                (x_BF.shape[0], 0, *x_BF.shape[2:]),
                np.float16 if "16" in str(x_BF.dtype) else np.float32,
            )
        return ops.gather(x_BF, places, 1).asnumpy()

    def numbers(self, moments: Tensor) -> np.ndarray:
        """(2, R, G) -> (F, 2, B, G)."""
        array = moments.asnumpy()
        return np.ascontiguousarray(
            array.reshape((2, -1, self.frames, array.shape[2])).transpose((2, 0, 1, 3))
        )

    def per_group(self, x_BFCHW: Tensor) -> int:
        """Numbers in a group of one frame."""
        channels, height, width = x_BFCHW.shape[2:]
        return channels // self.network.groups * height * width

    def bias(self) -> Tensor:
        """What is added to the scores at this timestep: (blocks, size, keys)."""
        key = self.layout.tuning.biases(self.t)
        if key not in self.biases:
            self.biases[key] = Tensor(self.layout.bias(self.clip, self.reading, self.t))
        return self.biases[key]


def _moments(numbers: np.ndarray, count: int, eps: float) -> np.ndarray:
    """Frames' means and squared deviations (T, 2, B, G), each over `count` numbers, as one: float32
    (2, B, G), mean and 1 / deviation. Taken in float64 and in the order of the frames, so that the
    split cannot be seen in it (Chan's formula).
    """
    means, squares = numbers[:, 0].astype(np.float64), numbers[:, 1].astype(np.float64)
    mean = means.mean(0)
    variance = (squares.sum(0) + count * np.square(means - mean).sum(0)) / (count * len(numbers))
    return np.stack([mean, 1.0 / np.sqrt(variance + eps)]).astype(np.float32)
