"""CogVideoX's transformer run on one clip of a longer video: attention of [text | video] in which a
frame reads all of the text and the frames of its row in a table, and text reads frames of the whole
video.

The text is the same in every clip. What it reads lies in all of them: each clip gives the part of
the softmax that its frames have, and every clip merges the parts of all in the order of the clips
(mindlong.ops.attention.partial), so that clips can be dealt to any number of processes.

Legend: B videos, F frames of this clip, S tokens of text, P tokens of a frame, D numbers of a
token.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from mindspore import Tensor

from mindlong.networks.cogvideox import places
from mindlong.networks.cogvideox import sharded_graphs as graphs
from mindlong.networks.sharded import Ask, Talk
from mindlong.ops.attention.partial import merged, nothing
from mindlong.ops.launch import launch
from mindlong.utils.errors import ConfigError

if TYPE_CHECKING:
    from mindlong.networks.cogvideox.cell import CogVideoX
    from mindlong.plans.clip_layout import ClipLayout

HELD = 9  # tensors of the state between two graphs, before the parts and the frames for others


class ShardedCogVideoX:
    """The transformer's layers, ready to be run clip by clip. It shares the parameters of `net`.

    Args:
        exact: must be true: what the original of another network does has no meaning here.
        context: not used; the network has no convolutions over frames.

    Raises:
        ConfigError: another style than the exact one.
    """

    def __init__(self, net: CogVideoX, exact: bool = True, context: int = 1) -> None:
        if not exact:
            raise ConfigError(
                "CogVideoX's transformer has no form of the style video_infinity, which belongs to UNets; "
                "clip_parallel.strategy=exact is its own"
            )
        self.net, self.exact, self.spec = net, exact, net.spec
        self.embed = graphs.Embedding(net)
        opened = [graphs.Open(block) for block in net.blocks]
        closed = [graphs.Close(block) for block in net.blocks]
        heads = [graphs.First(net), *closed[:-1]]
        self.route = [graphs.Graph(head, tail) for head, tail in zip(heads, opened, strict=True)]
        self.last = graphs.Last(closed[-1], net)

    def clip(self, layout: ClipLayout, number: int, park: Callable[[Tensor], Any]) -> ClipRun:
        """One clip's way through the network."""
        return ClipRun(self, layout, number, park)


class ClipRun:
    """One clip's way through the network.

    Args:
        clip: which of the layout's clips.
        park: what keeps tensors while other clips run: the identity, or a copy to host memory.
    """

    def __init__(
        self,
        network: ShardedCogVideoX,
        layout: ClipLayout,
        clip: int,
        park: Callable[[Tensor], Any] = lambda x: x,
    ) -> None:
        self.network, self.layout, self.clip, self.park = network, layout, clip, park
        spec, mine = network.spec, layout.clips[clip]
        self.frames, trained = len(mine), spec.sample[0]
        self.exports = _tensor([f - mine.start for f in layout.exports("attention", clip)])
        self.text_read = _tensor(
            [f - mine.start for f in layout.joint.read(layout.frames) if f in mine]
        )
        self.text_bias = Tensor(np.float32([layout.joint.bias(layout.frames, trained)]))
        placed = layout.joint.places_of(layout.frames, trained)[mine.start : mine.stop]
        self.time = Tensor(places.of_frames(spec, placed))
        self.reading = layout.frame_reading(clip)
        self.index = Tensor(self.reading.index)

    def forward(
        self,
        x_BCFHW: np.ndarray,
        t_B: np.ndarray,
        context: np.ndarray,
        fps_B: np.ndarray | None = None,
    ) -> Talk:
        """The network's prediction for this clip: float32 (B, out_channels, F, h, w). Arguments as
        `CogVideoX.construct`; the network is told no rate.
        """
        spec, net = self.network.spec, self.network
        if spec.hinted:  # of this video nothing is known
            batch, channels, *rest = x_BCFHW.shape
            unknown = np.zeros((batch, channels + 1, *rest), np.float32)
            x_BCFHW = np.concatenate([x_BCFHW, unknown], 1)
        spec.check_inputs(x_BCFHW.shape, t_B.shape, context.shape)
        height, width = (side // spec.patch for side in x_BCFHW.shape[3:])
        pixels, emb = height * width, launch(net.embed, Tensor(t_B))
        attended = self.attended(len(x_BCFHW), pixels, int(t_B[0]))
        taken: tuple[Any, ...] = (Tensor(x_BCFHW), Tensor(context), self.time)
        for graph in net.route:
            out = launch(graph, emb, self.exports, self.text_read, self.text_bias, *taken)
            state, ask, own = self.asked(out)
            answer = yield ask
            read = merged([own, *answer.numbers])
            others = Tensor(answer.frames) if answer.frames.shape[1] else None
            taken = (*map(_back, state), others, Tensor(read), *attended)
        return launch(net.last, emb, height, width, *taken).asnumpy()

    def asked(self, out: tuple[Tensor, ...]) -> tuple[list[Any], Ask, np.ndarray]:
        """What a graph gave: the state, parked; what goes to other clips; the text's own part."""
        state, (own, *more) = [self.park(x) for x in out[:HELD]], out[HELD:]
        parts: Iterator[Tensor] = iter(more)
        text_k = out[5]
        part = nothing(text_k.shape) if self.text_read is None else next(parts).asnumpy()
        video = out[0]
        unit = (video.shape[0], 0, *video.shape[2:])
        kind = np.float16 if "16" in str(video.dtype) else np.float32
        sent = np.zeros(unit, kind) if self.exports is None else next(parts).asnumpy()
        return state, Ask("attention", sent, part[None], per_clip=True), own.asnumpy()

    def attended(self, batch: int, pixels: int, t: int) -> tuple[Any, ...]:
        """What `Close` takes of how frames read: index, bias, factors, blocks."""
        factors = np.repeat(self.layout.factors(self.clip), pixels).reshape((1, 1, -1, 1))
        return self.index, self.bias(batch, pixels, t), Tensor(factors), self.reading.blocks

    def bias(self, batch: int, pixels: int, t: int) -> Tensor | None:
        """What is added to the scores of [text | frames] at this timestep; None: nothing."""
        rows = self.layout.bias(self.clip, self.reading, t)[:, :1]
        if not rows.any():
            return None
        text = np.zeros((*rows.shape[:2], self.network.spec.tokens), np.float32)
        whole = np.concatenate([text, np.repeat(rows, pixels, 2)], 2)[:, None]
        return Tensor(np.tile(whole, (batch, 1, 1, 1)))


def _tensor(places: list[int]) -> Tensor | None:
    return Tensor(np.array(places, np.int32)) if places else None


def _back(x: Any) -> Any:
    return x if isinstance(x, Tensor) else Tensor(x)
