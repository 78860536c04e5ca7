"""A video UNet cut where its layers see other frames: what lies between two such places is one
compiled graph.

A `Graph` takes what the place before it left (`head`), runs whole layers (`body`) and ends with
what the next place needs (`tail`). `route_of` walks a network and gives its graphs in their order.

Legend: B videos, F frames of a clip, R = B*F rows, C channels, H W pixels, S = H*W, D width of a
token, G groups.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from mindspore import Tensor, nn, ops

from mindlong.networks.unet.blocks import LargerLayer, Layer, Smaller, TemporalConvs
from mindlong.networks.unet.cell import UNet
from mindlong.networks.unet.rows import fold, unfold
from mindlong.networks.unet.sharded_stages import FrameMoments, by_video
from mindlong.ops.precision import joined

KEEP, JOIN, LARGER, STAGE = "keep", "join", "larger", "stage"
Op = tuple[str, nn.Cell | None]


class First(nn.Cell):
    """The head of the first graph: latents (B, C, F, H, W) -> (R, C, H, W)."""

    takes = 1

    def __init__(self, unet: UNet) -> None:
        super().__init__(auto_prefix=False)
        self.conv = unet.conv_in

    def construct(self, x_BCFHW: Tensor) -> Tensor:
        return self.conv(fold(x_BCFHW), x_BCFHW.shape[2])


class Skip(nn.Cell):
    """The head behind the last of some temporal convolutions: construct(x (R, C, H, W), h (B, F,
    C, H, W), beside (B, 2, C, H, W), exists (2,), moments (2, B, G)) -> (R, C, H, W).
    """

    takes = 5

    def __init__(self, conv: nn.Cell, stage: TemporalConvs) -> None:
        super().__init__(auto_prefix=False)
        self.conv, self.norm, self.own = conv, stage.norms[-1], stage.convs[-1]

    def construct(
        self, x_RCHW: Tensor, h_BFCHW: Tensor, beside: Tensor, exists: Tensor, moments: Tensor
    ) -> Tensor:
        weights = (self.norm.weight, self.norm.bias, self.own.weight, self.own.bias)
        return x_RCHW + self.conv(h_BFCHW, beside, exists, moments, *weights)[0]


class Last(nn.Cell):
    """The tail of the last graph: (R, C, H, W) -> float32 (B, C, F, H, W)."""

    def __init__(self, unet: UNet) -> None:
        super().__init__(auto_prefix=False)
        self.norm, self.conv = unet.norm_out, unet.conv_out

    def construct(self, x_RCHW: Tensor, places: Tensor | None, frames: int) -> tuple[Tensor, ...]:
        return (unfold(self.conv(self.norm(x_RCHW, frames), frames), frames),)


class Moments(nn.Cell):
    """The tail before a norm over all frames: x (R, C, H, W), its frames' moments (2, R, G)."""

    def __init__(self, groups: int) -> None:
        super().__init__(auto_prefix=False)
        self.moments = FrameMoments(groups)

    def construct(self, x_RCHW: Tensor, places: Tensor | None, frames: int) -> tuple[Tensor, ...]:
        return x_RCHW, self.moments(x_RCHW)


class Edges(nn.Cell):
    """The tail before convolutions whose norms see a clip alone: x, by video, and the frames for
    others.
    """

    def construct(self, x_RCHW: Tensor, places: Tensor | None, frames: int) -> tuple[Tensor, ...]:
        whole = by_video(x_RCHW, frames)
        return (x_RCHW, whole, *given(whole, places))


class NumberedEdges(Moments):
    """The tail before convolutions whose norms see the whole video: x, by video, its moments, and
    the frames for others.
    """

    def construct(self, x_RCHW: Tensor, places: Tensor | None, frames: int) -> tuple[Tensor, ...]:
        whole = by_video(x_RCHW, frames)
        return (x_RCHW, whole, self.moments(x_RCHW), *given(whole, places))


class Tokens(nn.Cell):
    """The tail before attentions in views: x, its tokens (B, F, S, D), those for others."""

    def __init__(self, opening: nn.Cell) -> None:
        super().__init__(auto_prefix=False)
        self.opening = opening

    def construct(self, x_RCHW: Tensor, places: Tensor | None, frames: int) -> tuple[Tensor, ...]:
        tokens = self.opening(x_RCHW, frames)
        return (x_RCHW, tokens, *given(tokens, places))


class Given(nn.Cell):
    """A cell, and the frames for others of the last thing that it gives: construct(places, what the
    cell takes) -> (what it gives, frames).
    """

    def __init__(self, cell: nn.Cell) -> None:
        super().__init__(auto_prefix=False)
        self.cell = cell

    def construct(self, places: Tensor | None, *taken: Any) -> tuple[Tensor, ...]:
        out = self.cell(*taken)
        return out + given(out[-1], places)


class GivenConv(nn.Cell):
    """`NormConv` between two of its kind: construct(places, what it takes) -> (h (B, F, C, H, W),
    moments (2, R, G), frames for others). Layers of one width share it.
    """

    def __init__(self, conv: nn.Cell) -> None:
        super().__init__(auto_prefix=False)
        self.conv = conv

    def construct(self, places: Tensor | None, x_BFCHW: Tensor, *more: Tensor) -> tuple:
        h, moments = self.conv(x_BFCHW, *more)
        whole = by_video(h, x_BFCHW.shape[1])
        return whole, moments, *given(whole, places)


def given(x_BF: Tensor, places: Tensor | None) -> tuple[Tensor, ...]:
    """The frames of a clip that others need; nothing where they need none."""
    return () if places is None else (ops.gather(x_BF, places, 1),)


class Graph(nn.Cell):
    """Everything between two places where layers see other frames.

    construct(what `head` takes, kept features that the body joins, embedding, context, places of
    the frames for others or None, frames) -> (what `tail` gives, features to be kept).

    Attributes:
        pops: features that it joins. keeps: features that it gives to be kept.
    """

    def __init__(self, head: nn.Cell, takes: int, body: Sequence[Op], tail: nn.Cell) -> None:
        super().__init__(auto_prefix=False)
        self.head, self.takes, self.tail = head, takes, tail
        self.kinds = tuple(kind for kind, _ in body)
        self.layers = nn.CellList([cell or nn.Identity() for _, cell in body], auto_prefix=False)
        self.pops, self.keeps = self.kinds.count(JOIN), self.kinds.count(KEEP)

    def construct(self, *args: Any) -> tuple[Tensor, ...]:
        x = self.head(*args[: self.takes])
        kept = args[self.takes : self.takes + self.pops]
        emb, context, places, frames = args[self.takes + self.pops :]
        joins = 0
        made: tuple[Tensor, ...] = ()
        for i in range(len(self.kinds)):
            kind = self.kinds[i]
            if kind == "keep":
                made += (x,)
            elif kind == "join":
                x = joined(x, kept[joins], 1)
                joins += 1
            elif kind == "larger":
                x = self.layers[i](x, kept[joins].shape[2:], frames)
            else:
                x = self.layers[i](x, emb, context, frames)
        return self.tail(x, places, frames) + made


@dataclass(frozen=True)
class Step:
    """A graph and what follows it: a stage that sees other frames (`kind` "convolutions",
    "transformer" or "viewed"), or the end. `own` is the stage, `piece` what runs it.
    """

    graph: Graph
    kind: str
    own: nn.Cell | None = None
    piece: Any = None


def ops_of(unet: UNet, pieces: dict[int, Any]) -> Iterator[Op]:
    """Everything a network does behind its first convolution, in order."""
    if unet.entered:
        yield STAGE, unet.entry
    yield KEEP, None
    for block in unet.down:
        yield from [(STAGE, block)] if isinstance(block, Smaller) else _stages(block)
        yield KEEP, None
    for layer in unet.mid:
        yield from _stages(layer)
    for layer in unet.up:
        yield JOIN, None
        yield from _stages(layer)
        if isinstance(layer, LargerLayer):
            yield LARGER, layer.resample


def _stages(layer: Layer) -> Iterator[Op]:
    for name in layer.order:
        yield STAGE, getattr(layer, name)


Ends = Callable[[nn.Cell, Any], tuple[str, nn.Cell, nn.Cell, int]]


def route_of(unet: UNet, pieces: dict[int, Any], ends: Ends) -> list[Step]:
    """The graphs of a network in their order.

    Args:
        pieces: what runs a stage that sees other frames, by the stage's id; None for others.
        ends: (stage, piece) -> its kind, the tail of the graph before it, the head of the one
            behind it, what that head takes.
    """
    made, body, head, takes = [], [], First(unet), First.takes
    for kind, cell in ops_of(unet, pieces):
        piece = pieces.get(id(cell)) if kind == STAGE else None
        if piece is None:
            body.append((kind, cell))
            continue
        name, tail, after, count = ends(cell, piece)
        made.append(Step(Graph(head, takes, body, tail), name, cell, piece))
        body, head, takes = [], after, count
    return [*made, Step(Graph(head, takes, body, Last(unet)), "end")]
