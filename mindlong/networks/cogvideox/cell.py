"""CogVideoX's transformer: video and text as one sequence of tokens through blocks of joint
attention, each modulated by the timestep (arXiv 2408.06072).

Legend: B videos, C channels of latents, F frames, h w latent pixels, S tokens of text, P tokens of
video, D numbers of a token, N heads.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import mindspore as ms
import numpy as np
from mindspore import Tensor, nn, ops

from mindlong.networks.cogvideox import places
from mindlong.ops.activation import SiLU, TanhGELU
from mindlong.ops.attention import Attention
from mindlong.ops.conv import Conv2d
from mindlong.ops.layout import Exchange, Gated, Modulate
from mindlong.ops.linear import Linear
from mindlong.ops.norm import LayerNorm
from mindlong.ops.own_graph import OwnGraph
from mindlong.ops.precision import set_types

if TYPE_CHECKING:
    from mindlong.networks.cogvideox.spec import CogVideoXSpec

QK_EPS = 1e-6
PERIOD = 10000.0


class TimeEmbedding(nn.Cell):
    """Timestep -> embedding: cosines and sines in float32, Linear, SiLU, Linear."""

    def __init__(self, width: int, out: int) -> None:
        super().__init__()
        half = width // 2
        powers = np.arange(half, dtype=np.float32) * np.float32(-np.log(PERIOD) / half)
        self.frequencies = Tensor(np.exp(powers)[None])
        self.fc1, self.act, self.fc2 = Linear(width, out), SiLU(), Linear(out, out)

    def construct(self, t_B: Tensor) -> Tensor:
        """(B,) -> (B, E)."""
        angles = t_B.astype(ms.float32).reshape((-1, 1)) * self.frequencies
        waves = ops.concat((ops.cos(angles), ops.sin(angles)), -1)
        return self.fc2(self.act(self.fc1(waves)))


class Patch(nn.Cell):
    """Latents and a prompt's vectors to tokens of one width."""

    def __init__(self, spec: CogVideoXSpec) -> None:
        super().__init__()
        self.proj = Conv2d(spec.in_channels, spec.width, spec.patch, spec.patch)
        self.text, self.exchange = Linear(spec.context_dim, spec.width), Exchange()

    def construct(self, x_BCFHW: Tensor, context_BSD: Tensor) -> tuple[Tensor, Tensor]:
        """-> video (B, F, h/p, w/p, D), text (B, S, D)."""
        batch, channels, frames, height, width = x_BCFHW.shape
        rows = x_BCFHW.transpose((0, 2, 1, 3, 4)).reshape((-1, channels, height, width))
        patches = self.proj(rows)
        across = patches.shape
        tokens = self.exchange(patches.reshape((across[0], across[1], -1, 1)))
        video = tokens.reshape((batch, frames, across[2], across[3], across[1]))
        return video, self.text(context_BSD)


class Modulated(nn.Cell):
    """LayerNorm of video and text by the same weights, then a scale and a shift for each from the
    timestep; and the gates of what comes of them.
    """

    def __init__(self, spec: CogVideoXSpec) -> None:
        super().__init__()
        self.linear = Linear(spec.time_dim, 6 * spec.width)
        self.norm, self.modulate = LayerNorm(spec.width, spec.eps), Modulate()

    def construct(
        self, video_BPD: Tensor, text_BSD: Tensor, emb_BE: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """-> video, text, and their gates (B, D); `emb` is behind its SiLU."""
        shift, scale, gate, text_shift, text_scale, text_gate = ops.chunk(
            self.linear(emb_BE), 6, -1
        )
        video = self.modulate(self.norm(video_BPD), scale, shift)
        text = self.modulate(self.norm(text_BSD), text_scale, text_shift)
        return video, text, gate, text_gate


class JointAttention(nn.Cell):
    """Every token of [text | video] attends to all of them; queries and keys are normalised head by
    head.
    """

    def __init__(self, spec: CogVideoXSpec) -> None:
        super().__init__()
        width = spec.width
        self.heads = spec.heads
        self.to_q, self.to_k, self.to_v, self.to_out = (Linear(width, width) for _ in range(4))
        self.norm_q = LayerNorm(spec.head_dim, QK_EPS)
        self.norm_k = LayerNorm(spec.head_dim, QK_EPS)
        self.attend, self.exchange = Attention(spec.heads, spec.head_dim**-0.5), Exchange()

    def _split(self, x_BTD: Tensor) -> Tensor:
        batch, length, _ = x_BTD.shape
        return self.exchange(x_BTD.reshape((batch, length, self.heads, -1)))

    def queries(self, x_BTD: Tensor) -> Tensor:
        """(B, T, D) -> (B, N, T, D/N)."""
        return self.norm_q(self._split(self.to_q(x_BTD)))

    def keys(self, x_BTD: Tensor) -> tuple[Tensor, Tensor]:
        """(B, T, D) -> keys and values, each (B, N, T, D/N)."""
        return self.norm_k(self._split(self.to_k(x_BTD))), self._split(self.to_v(x_BTD))

    def construct(self, x_BTD: Tensor) -> Tensor:
        """(B, S + P, D) -> the same shape."""
        k, v = self.keys(x_BTD)
        mixed = self.attend(self.queries(x_BTD), k, v)
        return self.to_out(self.exchange(mixed).reshape(x_BTD.shape))


class FeedForward(nn.Cell):
    """Linear, GELU by tanh, Linear."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.fc1, self.act, self.fc2 = Linear(width, hidden), TanhGELU(), Linear(hidden, width)

    def construct(self, x: Tensor) -> Tensor:
        """(.., D) -> (.., D)."""
        return self.fc2(self.act(self.fc1(x)))


class Block(nn.Cell):
    """Joint attention and a feed-forward, each modulated, gated and beside a skip."""

    def __init__(self, spec: CogVideoXSpec) -> None:
        super().__init__()
        self.norm1, self.attn = Modulated(spec), JointAttention(spec)
        self.norm2, self.ff = Modulated(spec), FeedForward(spec.width, spec.hidden)
        self.gated = Gated()

    def construct(
        self, video_BPD: Tensor, text_BSD: Tensor, emb_BE: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Video and text -> the same shapes."""
        length = text_BSD.shape[1]
        video, text, gate, text_gate = self.norm1(video_BPD, text_BSD, emb_BE)
        mixed = self.attn(ops.concat((text, video), 1))
        video_BPD = self.gated(video_BPD, mixed[:, length:], gate)
        text_BSD = self.gated(text_BSD, mixed[:, :length], text_gate)
        video, text, gate, text_gate = self.norm2(video_BPD, text_BSD, emb_BE)
        mixed = self.ff(ops.concat((text, video), 1))
        video_BPD = self.gated(video_BPD, mixed[:, length:], gate)
        return video_BPD, self.gated(text_BSD, mixed[:, :length], text_gate)


class LastNorm(nn.Cell):
    """LayerNorm, then a scale and a shift from the timestep: the shift comes first."""

    def __init__(self, spec: CogVideoXSpec) -> None:
        super().__init__()
        self.linear = Linear(spec.time_dim, 2 * spec.width)
        self.norm, self.modulate = LayerNorm(spec.width, spec.eps), Modulate()

    def construct(self, x_BPD: Tensor, emb_BE: Tensor) -> Tensor:
        """(B, P, D) -> the same shape."""
        shift, scale = ops.chunk(self.linear(emb_BE), 2, -1)
        return self.modulate(self.norm(x_BPD), scale, shift)


def _input_check(spec: CogVideoXSpec):
    """A check that runs while the graph is compiled: all it needs is shapes."""

    @ops.constexpr
    def check(x: tuple[int, ...], t: tuple[int, ...], context: tuple[int, ...]) -> None:
        spec.check_inputs(x, t, context)

    return check


def _places(spec: CogVideoXSpec):
    """The parts of the table of places, made while the graph is compiled."""

    @ops.constexpr
    def table(axis: int, frames: int, height: int, width: int) -> Tensor:
        return Tensor(places.parts(spec, frames, height, width)[axis])

    return table


class CogVideoX(OwnGraph):
    """The network: construct(x, t, context[, hint]).

    Args:
        spec: what it is made of.
        dtype: the type that operators compute in; sums in norms and softmax, the sines of timesteps
            and the layers that `spec.float32` names stay float32.

    Raises:
        ConfigError: inputs that do not fit; at the call.
    """

    def __init__(self, spec: CogVideoXSpec, dtype: str = "float32") -> None:
        super().__init__()
        self.spec, self.check, self.table = spec, _input_check(spec), _places(spec)
        self.side = spec.patch
        self.patch = Patch(spec)
        self.time_embedding, self.act = TimeEmbedding(spec.width, spec.time_dim), SiLU()
        self.blocks = nn.CellList([Block(spec) for _ in range(spec.layers)])
        self.norm_final, self.norm_out = LayerNorm(spec.width, spec.eps), LastNorm(spec)
        self.proj_out = Linear(spec.width, spec.out_channels * spec.patch**2)
        set_types(self, dtype)

    def construct(
        self, x_BCFHW: Tensor, t_B: Tensor, context_BSD: Tensor, hint_BCFHW: Tensor | None = None
    ) -> Tensor:
        """Latents (B, C, F, h, w), timesteps (B,), a prompt's vectors (B, S, D) and, for a network
        that reads them, mask and known latents (B, 1 + C, F, h, w) -> float32 prediction like x.
        """
        if hint_BCFHW is not None:
            x_BCFHW = ops.concat((x_BCFHW, hint_BCFHW), 1)
        self.check(x_BCFHW.shape, t_B.shape, context_BSD.shape)
        emb = self.act(self.time_embedding(t_B))
        video, text = self.patch(x_BCFHW, context_BSD)
        grid = video.shape
        time = self.table(0, *grid[1:4])
        video = self.placed(video, time).reshape((grid[0], -1, grid[4]))
        for block in self.blocks:
            video, text = block(video, text, emb)
        video = self.proj_out(self.norm_out(self.norm_final(video), emb))
        return self.unpatched(video, grid).astype(ms.float32)

    def placed(self, video: Tensor, time_FD: Tensor) -> Tensor:
        """Tokens (B, F, h/p, w/p, D) and what places of frames add (F, D/4) -> with all places."""
        _, frames, height, width, _ = video.shape
        time = time_FD.reshape((1, frames, 1, 1, -1))
        column = self.table(1, frames, height, width).reshape((1, 1, 1, width, -1))
        row = self.table(2, frames, height, width).reshape((1, 1, height, 1, -1))
        whole = (1, frames, height, width, -1)
        spread = (time.broadcast_to(whole), column.broadcast_to(whole), row.broadcast_to(whole))
        return video + ops.concat(spread, -1).astype(video.dtype)

    def unpatched(self, x_BPD: Tensor, grid: tuple[int, ...]) -> Tensor:
        """Tokens of (channel, row, column) -> (B, C, F, h, w)."""
        (batch, frames, height, width, _), p = grid, self.side
        x = x_BPD.reshape((batch, frames, height, width, -1, p, p)).transpose((0, 4, 1, 2, 5, 3, 6))
        return x.reshape((batch, -1, frames, height * p, width * p))


def alone(spec: CogVideoXSpec, arrays: Mapping[str, np.ndarray]) -> CogVideoX:
    """The transformer, to be run alone."""
    return CogVideoX(spec)
