"""A video UNet run on one clip of a longer video, which asks for what it needs of the other clips.

`ClipRun.forward` is a generator: it yields an `Ask` wherever a layer sees other frames and is sent
an `Answer`. Whoever drives it (mindlong.parallel.sync) runs the clips of a video side by side, in
one process or in several, and passes the frames on; the network knows nothing of that.

Legend: B videos, F frames of this clip, R = B*F rows, C channels, S pixels, D width of a token.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from mindspore import Tensor, nn, ops

from mindlong.networks.sharded import Ask, Talk
from mindlong.networks.unet import sharded_graphs as graphs
from mindlong.networks.unet import sharded_stages as cells
from mindlong.networks.unet import stage_spec as words
from mindlong.networks.unet.blocks import Smaller, Transformer
from mindlong.networks.unet.shardable import check_shardable
from mindlong.networks.unet.sharded_views import ViewedStage
from mindlong.ops.launch import launch, values
from mindlong.plans.clip_layout import KINDS, ClipLayout

if TYPE_CHECKING:
    from mindlong.networks.unet.cell import UNet

# which frames for others the graph before a stage gives
KIND = {"convolutions": "conv", "viewed": "attention", "transformer": "norm", "end": "norm"}


class ShardedUNet:
    """A UNet's layers, ready to be run clip by clip. It shares the parameters of `unet`.

    Args:
        exact: norms over the whole video and a halo for each convolution; else the original's form
            with `context` frames.

    Attributes:
        route: the graphs, in order (mindlong.networks.unet.sharded_graphs).

    Raises:
        ConfigError: a network of another family.
    """

    def __init__(self, unet: UNet, exact: bool = True, context: int = 4) -> None:
        check_shardable(unet.spec)
        self.unet, self.exact, self.groups, self.context = unet, exact, unet.spec.groups, context
        self.embed = _Embedding(unet)
        self.norm_convs: dict[int, graphs.GivenConv] = {}
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
        self.route = graphs.route_of(unet, self.pieces, self._ends)

    def clip(self, layout: ClipLayout, number: int, park: Callable[[Tensor], Any]) -> ClipRun:
        """One clip's way through the network."""
        return ClipRun(self, layout, number, park)

    def _made(self, cell: nn.Cell, stage: words.Stage, heads: int) -> Any:
        """What runs a stage; None for one that sees single frames."""
        if isinstance(stage, words.TemporalConv):
            width = cell.convs[0].cout
            if not self.exact:
                return cells.ChunkConvs(cell, self.context)
            if width not in self.norm_convs:
                made = graphs.GivenConv(cells.NormConv(width, self.groups))
                self.norm_convs[width] = made
            return self.norm_convs[width]
        if isinstance(stage, words.Transformer) and stage.views is not None:
            return ViewedStage(cell, stage.views)
        if isinstance(stage, words.Transformer) and stage.joint:
            return self.transformer_pieces(cell, stage, heads)
        return None

    def _ends(self, cell: nn.Cell, piece: Any) -> tuple[str, nn.Cell, nn.Cell, int]:
        """As `sharded_graphs.route_of` asks."""
        if isinstance(piece, ViewedStage):
            return "viewed", graphs.Tokens(piece.opening), piece.closing, 3
        if isinstance(cell, Transformer):
            return "transformer", graphs.Moments(self.groups), piece[-1], 8
        if not self.exact:
            return "convolutions", graphs.Edges(), piece, 2
        head = graphs.Skip(piece.conv, cell)
        return "convolutions", graphs.NumberedEdges(self.groups), head, head.takes

    def transformer_pieces(
        self, cell: Transformer, stage: words.Transformer, heads: int
    ) -> list[nn.Cell]:
        """The parts of a transformer over frames between its attentions, and the last of them,
        which begins the graph behind it.
        """
        steps = tuple((b.norm, b.name) for b in stage.branches)
        timed = [i for i, branch in enumerate(stage.branches) if branch.kind == "time"]
        pools = [
            cells.PoolAttention(getattr(cell.block, steps[i][1]), heads, self.unet.spec.upcast)
            for i in timed
        ]
        made: list[nn.Cell] = [cells.Opening(cell, steps[: timed[0]], steps[timed[0]][0])]
        for pool, here, after in zip(pools[:-1], timed[:-1], timed[1:], strict=True):
            made.append(cells.Between(cell, pool, steps[here + 1 : after], steps[after][0]))
        closing = cells.Closing(cell, pools[-1], steps[timed[-1] + 1 :])
        return [*map(graphs.Given, made), closing]


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
        self.exports = {kind: self._places(kind) for kind in KINDS}
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
        rate = None if fps_B is None else Tensor(fps_B)
        self.emb = launch(self.network.embed, Tensor(t_B), rate, self.frames, start)
        self.context, self.kept = Tensor(context), []
        taken: tuple[Any, ...] = (Tensor(x_BCFHW),)
        for step in self.network.route:
            found = self.through(step.graph, taken, self.exports[KIND[step.kind]])
            if step.kind == "end":
                return found[0].asnumpy().astype(np.float32)
            taken = yield from getattr(self, step.kind)(step, *found)
        raise AssertionError("a route has an end")

    def through(self, graph: graphs.Graph, taken: tuple[Any, ...], places: Any) -> tuple[Any, ...]:
        """What a graph leaves for the place behind it; its kept features go to the shelf."""
        joined = [self.kept.pop() for _ in range(graph.pops)]
        features = [x if isinstance(x, Tensor) else Tensor(x) for x in joined]
        out = launch(graph, *taken, *features, self.emb, self.context, places, self.frames)
        out = out if isinstance(out, tuple) else (out,)
        last = len(out) - graph.keeps
        self.kept += [self.park(x) for x in out[last:]]
        return out[:last]

    def convolutions(self, step: graphs.Step, x: Tensor, h: Tensor, *found: Tensor) -> Talk:
        """The temporal convolutions beside their skip; returns what the graph behind them takes."""
        if not self.network.exact:
            answer = yield Ask("conv", self.sent(h, found))
            return h, Tensor(answer.frames)
        moments, *exported = found
        count = self.per_group(h.shape[2:])
        for norm, conv in zip(step.own.norms, step.own.convs, strict=True):
            answer = yield Ask("conv", self.sent(h, exported), self.numbers(moments))
            taken = Tensor(_moments(answer.numbers, count, norm.eps))
            arrived = (h, Tensor(answer.frames), self.exists, taken)
            if conv is step.own.convs[-1]:
                return x, *arrived
            weights = (norm.weight, norm.bias, conv.weight, conv.bias)
            more = (*arrived, *values(weights))
            h, moments, *exported = launch(step.piece, self.exports["conv"], *more)
        raise AssertionError("there are convolutions")

    def viewed(self, step: graphs.Step, x: Tensor, tokens: Tensor, *exported: Tensor) -> Talk:
        """A transformer whose attentions over frames read in views."""
        mine = self.layout.clips[self.clip]
        answer = yield Ask("attention", self.sent(tokens, exported))
        held = [*mine, *self.layout.wanted("attention", self.clip)]
        pool = ops.concat((tokens, Tensor(answer.frames).astype(tokens.dtype)), 1)
        places = {frame: place for place, frame in enumerate(held)}
        return (
            step.piece.run(pool, places, mine, self.layout.frames, self.context),
            x,
            self.context,
        )

    def transformer(self, step: graphs.Step, x: Tensor, moments: Tensor) -> Talk:
        """A transformer over frames, up to its last attention."""
        opening, *between = step.piece[:-1]
        own = self.numbers(moments)
        numbers = (yield Ask("norm", None, own)).numbers if self.network.exact else own
        taken = Tensor(_moments(numbers, self.per_group(x.shape[1:]), step.own.norm.eps))
        places = self.exports["attention"]
        tokens, y, *exported = launch(opening, places, x, taken, self.context, self.frames)
        for piece in between:
            others = Tensor((yield Ask("attention", self.sent(y, exported))).frames)
            tokens, y, *exported = launch(piece, places, *self.read(tokens, y, others))
        others = Tensor((yield Ask("attention", self.sent(y, exported))).frames)
        return (*self.read(tokens, y, others), x)

    def read(self, tokens: Tensor, y: Tensor, others: Tensor) -> tuple[Tensor, ...]:
        """What a graph takes that begins with an attention over frames."""
        return tokens, y, others, self.index, self.bias(), self.factor, self.context

    def sent(self, x_BF: Tensor, exported: Sequence[Tensor]) -> np.ndarray:
        """The frames that other clips need, on the host; none where a graph gave none."""
        if exported:
            return exported[0].asnumpy()
        kind = np.float16 if "16" in str(x_BF.dtype) else np.float32
        return np.zeros((x_BF.shape[0], 0, *x_BF.shape[2:]), kind)

    def numbers(self, moments: Tensor) -> np.ndarray:
        """(2, R, G) -> (F, 2, B, G)."""
        array = moments.asnumpy()
        return np.ascontiguousarray(
            array.reshape((2, -1, self.frames, array.shape[2])).transpose((2, 0, 1, 3))
        )

    def per_group(self, shape_CHW: tuple[int, int, int]) -> int:
        """Numbers in a group of one frame."""
        return math.prod(shape_CHW) // self.network.groups

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
