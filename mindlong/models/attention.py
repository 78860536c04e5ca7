"""Attention and transformer blocks of the latent video UNets.

Legend: B videos, F frames, R = B*F rows, S pixels of a frame, D channels, N heads, T tokens of a prompt. Tokens stay
x_BFSD through a whole block; only inside an attention do queries and keys come into the order that it needs.

Which frames a frame reads is a key/value policy (mindlong.spec.kv_policy). It is turned into indices and a bias while
the graph is compiled, when the number of frames is known.
"""

from __future__ import annotations

import mindspore as ms
import numpy as np
from mindspore import Tensor, nn, ops

from mindlong.models.rows import start_at_zero
from mindlong.ops.activation import GEGLU
from mindlong.ops.attention import attention
from mindlong.ops.linear import Linear
from mindlong.ops.norm import LayerNorm
from mindlong.spec import kv_policy
from mindlong.spec.unet import Branch, UNetSpec


def _block_size(policy: str, kind: str, frames: int) -> int:
    """Frames whose queries are taken together."""
    rows = kv_policy.table(policy, frames)
    if kind == "time":
        return kv_policy.best_size(rows)
    return frames if kv_policy.shared(rows) else 1


def _reading(policy: str, kind: str, frames: int) -> kv_policy.Reading:
    return kv_policy.reading(kv_policy.table(policy, frames), _block_size(policy, kind, frames))


@ops.constexpr
def _blocks(policy: str, kind: str, frames: int) -> int:
    """Number of blocks that the frames are read in."""
    return len(_reading(policy, kind, frames).index)


@ops.constexpr
def _gathered(policy: str, kind: str, frames: int) -> Tensor | None:
    """int32 (blocks * keys,): the frames read, block after block; None where that is each frame once, in order."""
    index = _reading(policy, kind, frames).index.reshape(-1)
    return None if np.array_equal(index, np.arange(frames)) else Tensor(index)


@ops.constexpr
def _bias(policy: str, kind: str, frames: int, heads: int, pixels: int) -> Tensor | None:
    """float32 (1, blocks * heads, frames of a block or 1, keys) to add to the scores; None: nothing."""
    bias = _reading(policy, kind, frames).bias
    if bias is None:
        return None
    return Tensor(np.repeat(np.repeat(bias, heads, 0), pixels if kind == "space" else 1, 2)[None])


class Projections(nn.Cell):
    """What every attention here has: projections to queries, keys and values without bias, and one back with bias."""

    def __init__(self, width: int, read: int, heads: int, zero: bool, upcast: bool) -> None:
        super().__init__()
        self.heads, self.scale, self.upcast = heads, (width // heads) ** -0.5, upcast
        self.to_q, self.to_k, self.to_v = (Linear(cin, width, bias=False) for cin in (width, read, read))
        self.to_out = start_at_zero(Linear(width, width)) if zero else Linear(width, width)

    def split(self, x: Tensor, rows: int) -> Tensor:
        """(.., D) -> (rows, N, length, D / N)."""
        return x.reshape((rows, -1, self.heads, x.shape[-1] // self.heads)).transpose((0, 2, 1, 3))

    def mix(self, q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None) -> Tensor:
        """The attention itself, in float32 if `upcast`."""
        if self.upcast:
            wide = attention(q.astype(ms.float32), k.astype(ms.float32), v.astype(ms.float32), scale=self.scale, mask=bias)
            return wide.astype(q.dtype)
        return attention(q, k, v, scale=self.scale, mask=bias)


class TextAttention(Projections):
    """Every pixel reads the prompt: one for the whole video, or one for each frame."""

    def construct(self, x_BFSD: Tensor, context: Tensor) -> Tensor:
        """(B, F, S, D) and (B, T, K) or (B, F, T, K) -> (B, F, S, D)."""
        rows = x_BFSD.shape[0] if context.ndim == 3 else x_BFSD.shape[0] * x_BFSD.shape[1]
        q, k, v = (self.split(part, rows) for part in (self.to_q(x_BFSD), self.to_k(context), self.to_v(context)))
        return self.to_out(self.mix(q, k, v, None).transpose((0, 2, 1, 3)).reshape(x_BFSD.shape))


class PolicyAttention(Projections):
    """Every pixel reads pixels of the frames that the policy names: all of them ("space") or the one at its own place
    ("time").

    Queries, keys and values come into rows (group, block) for this, where a group is a video or a pixel of a video, and
    a block the frames that gather their keys together.
    """

    def __init__(self, width: int, heads: int, kind: str, policy: str, zero: bool, upcast: bool) -> None:
        super().__init__(width, width, heads, zero, upcast)
        self.kind, self.policy, self.in_time = kind, policy, kind == "time"

    def construct(self, x_BFSD: Tensor, context: Tensor | None = None) -> Tensor:
        """(B, F, S, D) -> (B, F, S, D)."""
        frames, pixels = x_BFSD.shape[1:3]
        blocks, index = _blocks(self.policy, self.kind, frames), _gathered(self.policy, self.kind, frames)
        bias = _bias(self.policy, self.kind, frames, self.heads, pixels)
        q, k, v = self.to_q(x_BFSD), self.to_k(x_BFSD), self.to_v(x_BFSD)
        if index is not None:
            k, v = ops.gather(k, index, 1), ops.gather(v, index, 1)
        q, k, v = (self.rows(part, blocks) for part in (q, k, v))
        if bias is not None:  # one for each block, so blocks stand beside the heads
            q, k, v = (part.reshape((-1, blocks * self.heads, part.shape[2], part.shape[3])) for part in (q, k, v))
        return self.to_out(self.tokens(self.mix(q, k, v, bias), x_BFSD.shape, blocks))

    def rows(self, x_BFSD: Tensor, blocks: int) -> Tensor:
        """(B, F, S, D) -> (groups * blocks, N, length, D / N)."""
        batch, frames, pixels, width = x_BFSD.shape
        if self.in_time:
            x = x_BFSD.reshape((batch, blocks, frames // blocks, pixels, self.heads, width // self.heads))
            return x.transpose((0, 3, 1, 4, 2, 5)).reshape((batch * pixels * blocks, self.heads, frames // blocks, -1))
        return self.split(x_BFSD, batch * blocks)

    def tokens(self, x: Tensor, shape_BFSD: tuple[int, ...], blocks: int) -> Tensor:
        """The way back from `rows`."""
        batch, frames, pixels, width = shape_BFSD
        if self.in_time:
            x = x.reshape((batch, pixels, blocks, self.heads, frames // blocks, width // self.heads))
            return x.transpose((0, 2, 4, 1, 3, 5)).reshape(shape_BFSD)
        x = x.reshape((batch * blocks, self.heads, frames // blocks * pixels, width // self.heads))
        return x.transpose((0, 2, 1, 3)).reshape(shape_BFSD)


class FeedForward(nn.Cell):
    """GEGLU feed-forward, four times as wide inside (arXiv 2002.05202)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.proj_in, self.act, self.proj_out = Linear(width, 8 * width), GEGLU(), Linear(4 * width, width)

    def construct(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """(.., D) -> (.., D)."""
        return self.proj_out(self.act(self.proj_in(x)))


def _branch(spec: UNetSpec, branch: Branch, width: int, heads: int) -> nn.Cell:
    if branch.kind == "ff":
        return FeedForward(width)
    if branch.kind == "text":
        return TextAttention(width, spec.context_dim, heads, branch.zero, spec.upcast)
    return PolicyAttention(width, heads, branch.kind, branch.reads, branch.zero, spec.upcast)


class TransformerBlock(nn.Cell):
    """The branches one after the other, each behind its LayerNorm and beside a skip."""

    def __init__(self, spec: UNetSpec, branches: tuple[Branch, ...], width: int, heads: int) -> None:
        super().__init__()
        self.steps = tuple((b.norm, b.name) for b in branches)
        for branch in branches:
            setattr(self, branch.norm, LayerNorm(width))
            setattr(self, branch.name, _branch(spec, branch, width, heads))

    def construct(self, x_BFSD: Tensor, context: Tensor) -> Tensor:
        """(B, F, S, D) -> (B, F, S, D)."""
        for norm, branch in self.steps:
            x_BFSD = x_BFSD + getattr(self, branch)(getattr(self, norm)(x_BFSD), context)
        return x_BFSD
