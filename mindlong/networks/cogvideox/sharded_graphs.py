"""CogVideoX's transformer cut where frames meet: what lies between two attentions is one graph.

An `Open` makes what a block's attention needs, a `Close` takes what came of it; a `Graph` is the
end of one block and the beginning of the next. Text is computed apart from video, in shapes that no
clip changes.

Legend: B videos, F frames of a clip, W frames of others, P tokens of a frame, S tokens of text, D
numbers of a token, N heads.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import mindspore as ms
from mindspore import Tensor, nn, ops

from mindlong.ops.attention.partial import PartialAttention

if TYPE_CHECKING:
    from mindlong.networks.cogvideox.cell import Block, CogVideoX

State = tuple[Any, ...]


class Embedding(nn.Cell):
    """Timesteps (B,) -> (B, E), behind their SiLU."""

    def __init__(self, net: CogVideoX) -> None:
        super().__init__(auto_prefix=False)
        self.embed, self.act = net.time_embedding, net.act

    def construct(self, t_B: Tensor) -> Tensor:
        return self.act(self.embed(t_B))


class First(nn.Cell):
    """Latents, a prompt's vectors and what places of frames add -> video (B, F, P, D), text."""

    def __init__(self, net: CogVideoX) -> None:
        super().__init__(auto_prefix=False)
        self.net, self.patch = net, net.patch

    def construct(
        self, emb: Tensor, x_BCFHW: Tensor, context_BSD: Tensor, time_FD: Tensor
    ) -> State:
        video, text = self.patch(x_BCFHW, context_BSD)
        batch, frames, _, _, numbers = video.shape
        return self.net.placed(video, time_FD).reshape((batch, frames, -1, numbers)), text


class Open(nn.Cell):
    """Up to a block's attention.

    construct(video (B, F, P, D), text (B, S, D), emb (B, E), places of the frames for others, those
    that text reads, what is added to its scores) -> the state that `Close` takes, the text's part
    over its own keys, that over these frames' (each None where nothing is read), the frames for
    others.
    """

    def __init__(self, block: Block) -> None:
        super().__init__(auto_prefix=False)
        self.norm, self.attn = block.norm1, block.attn
        self.part = PartialAttention(block.attn.attend.scale)

    def construct(
        self,
        video_BFPD: Tensor,
        text_BSD: Tensor,
        emb: Tensor,
        places: Tensor | None,
        read: Tensor | None,
        bias: Tensor,
    ) -> State:
        batch, frames, pixels, width = video_BFPD.shape
        a, text, gate, text_gate = self.norm(video_BFPD.reshape((batch, -1, width)), text_BSD, emb)
        (k, v), (text_k, text_v) = self.attn.keys(a), self.attn.keys(text)
        text_q = self.attn.queries(text)
        own = self.part(text_q, text_k, text_v, bias * 0.0)
        state = (video_BFPD, text_BSD, self.attn.queries(a), k, v, text_k, text_v, gate, text_gate)
        seen: State = ()
        if read is not None:
            mine = [_frames(x, frames, read) for x in (k, v)]
            seen = (self.part(text_q, mine[0], mine[1], bias),)
        given: State = ()
        if places is not None:
            given = (ops.gather(a.reshape((batch, frames, pixels, width)), places, 1),)
        return (*state, own, *seen, *given)


def _frames(x_BNTD: Tensor, frames: int, which: Tensor) -> Tensor:
    """The tokens of some of the frames."""
    batch, heads, length, width = x_BNTD.shape
    split = x_BNTD.reshape((batch, heads, frames, length // frames, width))
    return ops.gather(split, which, 2).reshape((batch, heads, -1, width))


class Close(nn.Cell):
    """A block's attention over frames, and the rest of the block.

    construct(emb, the state of `Open`, frames of others (B, W, P, D) or None, what text read (B, S,
    D), the frames that blocks of frames read (blocks * width,), what is added to scores (B blocks,
    1, 1, S + width P) or None, factors on scores (1, 1, F P, 1), blocks) -> video, text.
    """

    def __init__(self, block: Block) -> None:
        super().__init__(auto_prefix=False)
        self.attn, self.norm, self.ff = block.attn, block.norm2, block.ff
        self.gated = block.gated

    def construct(
        self,
        emb: Tensor,
        video: Tensor,
        text: Tensor,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        text_k: Tensor,
        text_v: Tensor,
        gate: Tensor,
        text_gate: Tensor,
        others: Tensor | None,
        read_BSD: Tensor,
        index: Tensor,
        bias: Tensor | None,
        factor: Tensor,
        blocks: int,
    ) -> State:
        batch, frames, pixels, width = video.shape
        if others is not None:
            more_k, more_v = self.attn.keys(others.astype(video.dtype).reshape((batch, -1, width)))
            k, v = ops.concat((k, more_k), 2), ops.concat((v, more_v), 2)
        q = _blocks(q * factor.astype(q.dtype), blocks)
        k = self.pool(k, text_k, index, pixels, blocks)
        v = self.pool(v, text_v, index, pixels, blocks)
        mixed = _joined(self.attn.attend(q, k, v, bias), batch)
        flat = self.gated(video.reshape((batch, -1, width)), self.attn.to_out(mixed), gate)
        text = self.gated(text, self.attn.to_out(read_BSD.astype(text.dtype)), text_gate)
        a, b, gate, text_gate = self.norm(flat, text, emb)
        out = self.gated(flat, self.ff(a), gate)
        return out.reshape(video.shape), self.gated(text, self.ff(b), text_gate)

    def pool(
        self, x_BNTD: Tensor, text_BNSD: Tensor, index: Tensor, pixels: int, blocks: int
    ) -> Tensor:
        """What each block of frames reads: (B blocks, N, S + width P, D/N)."""
        batch, heads, length, width = x_BNTD.shape
        split = x_BNTD.reshape((batch, heads, length // pixels, pixels, width))
        read = _blocks(ops.gather(split, index, 2).reshape((batch, heads, -1, width)), blocks)
        shape = (batch, blocks, heads, text_BNSD.shape[2], width)
        text = text_BNSD.expand_dims(1).broadcast_to(shape).reshape((-1, *shape[2:]))
        return ops.concat((text, read), 2)


def _blocks(x_BNTD: Tensor, blocks: int) -> Tensor:
    """(B, N, blocks T, D) -> (B blocks, N, T, D)."""
    batch, heads, length, width = x_BNTD.shape
    split = x_BNTD.reshape((batch, heads, blocks, length // blocks, width))
    return split.transpose((0, 2, 1, 3, 4)).reshape((-1, heads, length // blocks, width))


def _joined(x: Tensor, batch: int) -> Tensor:
    """(B blocks, N, T, D/N) -> (B, blocks T, D)."""
    rows, heads, length, width = x.shape
    return x.transpose((0, 2, 1, 3)).reshape((batch, -1, heads * width))


class Graph(nn.Cell):
    """The end of one block, or the first layers, and the beginning of the next: construct(emb,
    places, read, bias, what the head takes).
    """

    def __init__(self, head: nn.Cell, tail: Open) -> None:
        super().__init__(auto_prefix=False)
        self.head, self.tail = head, tail

    def construct(
        self, emb: Tensor, places: Tensor | None, read: Tensor | None, bias: Tensor, *taken: Any
    ) -> State:
        video, text = self.head(emb, *taken)
        return self.tail(video, text, emb, places, read, bias)


class Last(nn.Cell):
    """The last block's end and the layers behind: construct(emb, rows and columns of patches, what
    `Close` takes) -> float32 (B, C, F, H, W).
    """

    def __init__(self, close: Close, net: CogVideoX) -> None:
        super().__init__(auto_prefix=False)
        self.close, self.net = close, net
        self.norm, self.out_norm, self.proj = net.norm_final, net.norm_out, net.proj_out

    def construct(self, emb: Tensor, height: int, width: int, *taken: Any) -> Tensor:
        video, _ = self.close(emb, *taken)
        batch, frames, _, numbers = video.shape
        out = self.proj(self.out_norm(self.norm(video.reshape((batch, -1, numbers))), emb))
        return self.net.unpatched(out, (batch, frames, height, width, numbers)).astype(ms.float32)
