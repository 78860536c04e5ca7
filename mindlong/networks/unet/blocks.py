"""The stages of a UNet layer, all called as `stage(x_RCHW, emb_RE, context, frames)`, and the layer
that runs them.

Legend: B videos, F frames, R = B*F rows, C channels, H W pixels, E width of the embedding, T tokens
of a prompt.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from mindspore import Tensor, nn, ops

from mindlong.networks.unet import stage_spec as unet
from mindlong.networks.unet.resnet import Downsample, ResBlock, Upsample
from mindlong.networks.unet.rows import (
    Conv,
    JointNorm,
    Norm,
    Parts,
    PseudoConv,
    fold,
    start_at_zero,
    unfold,
)
from mindlong.networks.unet.viewed import block_of
from mindlong.ops.activation import SiLU
from mindlong.ops.conv import TemporalConv
from mindlong.ops.layout import Exchange
from mindlong.ops.linear import Linear
from mindlong.ops.norm import GroupNorm
from mindlong.ops.precision import joined

if TYPE_CHECKING:
    from mindlong.networks.unet.spec import UNetSpec
    from mindlong.networks.unet.stage_spec import Level


def parts_of(spec: UNetSpec) -> Parts:
    """The norms and convolutions of residual blocks and of what lies outside the layers."""
    return Parts(JointNorm if spec.joint else Norm, PseudoConv if spec.pseudo3d else Conv)


class Waves(nn.Cell):
    """Cosines, then sines, at `width` / 2 frequencies from 1 down to but without 1/10000."""

    def __init__(self, width: int) -> None:
        super().__init__()
        half = width // 2
        self.frequencies = Tensor(
            np.exp(np.arange(half, dtype=np.float32) * -(math.log(10000.0) / half))[None]
        )

    def construct(self, number_B: Tensor) -> Tensor:
        """(B,) integers or floats -> float32 (B, width)."""
        angles = number_B.astype(self.frequencies.dtype).reshape((-1, 1)) * self.frequencies
        return ops.concat((ops.cos(angles), ops.sin(angles)), -1)


class NumberEmbedding(nn.Cell):
    """A number for each video (a timestep, a frame rate) to an embedding: cosines, sines, Linear,
    SiLU, Linear.
    """

    def __init__(self, width: int, out: int) -> None:
        super().__init__()
        self.waves = Waves(width)
        self.fc1, self.act, self.fc2 = Linear(width, out), SiLU(), Linear(out, out)

    def construct(self, number_B: Tensor) -> Tensor:
        """(B,) integers or floats -> (B, out)."""
        return self.fc2(self.act(self.fc1(self.waves(number_B))))

    def joined(self, number_B: Tensor, added_BW: Tensor) -> Tensor:
        """The same with something added to the cosines and sines: (B, out)."""
        return self.fc2(self.act(self.fc1(self.waves(number_B) + added_BW)))


class GuidanceEmbedding(nn.Cell):
    """The guidance scale that a distilled network imitates (arXiv 2310.04378): sines, then cosines
    of 1000 times the number, and a Linear without bias that starts at zero.
    """

    def __init__(self, width: int, out: int) -> None:
        super().__init__()
        half, self.odd = width // 2, width % 2
        steps = np.arange(half, dtype=np.float32) * -(math.log(10000.0) / (half - 1))
        self.frequencies = Tensor(np.exp(steps)[None])
        self.proj = Linear(width, out, bias=False)
        start_at_zero(self.proj)

    def construct(self, guidance_B: Tensor) -> Tensor:
        """(B,) floats -> float32 (B, out)."""
        scaled = guidance_B.astype(self.frequencies.dtype).reshape((-1, 1)) * 1000.0
        angles = scaled * self.frequencies
        waves = (ops.sin(angles), ops.cos(angles))
        if self.odd:
            waves += (ops.zeros_like(scaled),)
        return self.proj(ops.concat(waves, -1))


class Res(ResBlock):
    """The residual block as a stage."""

    def construct(self, x_RCHW: Tensor, emb_RE: Tensor, context: Tensor, frames: int) -> Tensor:
        """(R, cin, H, W) -> (R, cout, H, W)."""
        return super().construct(x_RCHW, emb_RE, frames)


class TemporalConvs(nn.Cell):
    """Four times GroupNorm over all frames together, SiLU and a convolution over frames, beside a
    skip.
    """

    def __init__(self, width: int, groups: int, eps: float, zero: bool) -> None:
        super().__init__()
        self.norms = nn.CellList([GroupNorm(groups, width, eps, act=True) for _ in range(4)])
        self.convs = nn.CellList([TemporalConv(width, width) for _ in range(4)])
        self.native = self.convs[0].native and self.convs[0].fits
        if zero:
            start_at_zero(self.convs[-1])

    def construct(self, x_RCHW: Tensor, emb_RE: Tensor, context: Tensor, frames: int) -> Tensor:
        """(R, C, H, W) -> (R, C, H, W)."""
        if not self.native:
            return x_RCHW + fold(self._unfolded(unfold(x_RCHW, frames)))
        h = x_RCHW
        for norm, conv in zip(self.norms, self.convs):  # noqa: B905  graph mode knows no strict
            h = conv.folded(norm.joint(h, frames), frames)
        return x_RCHW + h

    def _unfolded(self, x_BCFHW: Tensor) -> Tensor:
        """The norms and convolutions with frames behind the channels, where neither has to move
        anything: the way there and back is taken once.
        """
        for norm, conv in zip(self.norms, self.convs):  # noqa: B905  graph mode knows no strict
            x_BCFHW = conv(norm(x_BCFHW))
        return x_BCFHW


class Transformer(nn.Cell):
    """GroupNorm, projection, a block of branches, projection, beside a skip."""

    def __init__(
        self, spec: UNetSpec, stage: unet.Transformer, width: int, heads: int, head_dim: int
    ) -> None:
        super().__init__()
        inner = heads * head_dim
        self.norm = (JointNorm if stage.joint else Norm)(spec.groups, width, stage.eps)
        self.proj_in, self.proj_out = Linear(width, inner), Linear(inner, width)
        self.block, self.exchange = block_of(spec, stage, inner, heads), Exchange()
        if "proj_out" in spec.zero:
            start_at_zero(self.proj_out)

    def construct(self, x_RCHW: Tensor, emb_RE: Tensor, context: Tensor, frames: int) -> Tensor:
        """(R, C, H, W) -> (R, C, H, W)."""
        rows, channels, height, width = x_RCHW.shape
        pixels = height * width
        tokens = self.exchange(self.norm(x_RCHW, frames).reshape((rows, channels, pixels, 1)))
        tokens = self.proj_in(tokens.reshape((rows // frames, frames, pixels, channels)))
        tokens = self.proj_out(self.block(tokens, context))
        return x_RCHW + self.exchange(tokens.reshape((rows, pixels, channels, 1))).reshape(
            x_RCHW.shape
        )


def _stage(spec: UNetSpec, stage: unet.Stage, cin: int, cout: int, level: Level) -> nn.Cell:
    if isinstance(stage, unet.Res):
        cell = Res(cin, cout, spec.groups, spec.eps, spec.emb_dim, parts_of(spec))
        if "res" in spec.zero:
            start_at_zero(cell.conv2)
        return cell
    if isinstance(stage, unet.TemporalConv):
        return TemporalConvs(cout, spec.groups, spec.eps, "tconv" in spec.zero)
    return Transformer(spec, stage, cout, level.heads, level.head_dim)


class Layer(nn.Cell):
    """The stages of one layer, in the spec's order."""

    def __init__(self, spec: UNetSpec, level: Level, number: int) -> None:
        super().__init__()
        chosen = [s for s in spec.stages if level.holds(s, number)]
        self.order = tuple(stage.name for stage in chosen)
        for stage in chosen:
            setattr(self, stage.name, _stage(spec, stage, *level.layers[number], level))

    def run(self, x_RCHW: Tensor, emb_RE: Tensor, context: Tensor, frames: int) -> Tensor:
        """(R, cin, H, W) -> (R, cout, H, W)."""
        for name in self.order:
            x_RCHW = getattr(self, name)(x_RCHW, emb_RE, context, frames)
        return x_RCHW

    def construct(self, x_RCHW: Tensor, emb_RE: Tensor, context: Tensor, frames: int) -> Tensor:
        """(R, cin, H, W) -> (R, cout, H, W)."""
        return self.run(x_RCHW, emb_RE, context, frames)


class Smaller(nn.Cell):
    """The step to half the height and width, called as a layer."""

    def __init__(self, spec: UNetSpec, width: int) -> None:
        super().__init__()
        self.resample = Downsample(width, parts=parts_of(spec))

    def construct(self, x_RCHW: Tensor, emb_RE: Tensor, context: Tensor, frames: int) -> Tensor:
        """(R, C, H, W) -> (R, C, H / 2, W / 2), rounded up."""
        return self.resample(x_RCHW, frames)


class JoinLayer(Layer):
    """A layer of the way up, which reads one of the features kept on the way down beside its
    input.
    """

    def construct(
        self,
        x_RCHW: Tensor,
        kept_RCHW: Tensor,
        emb_RE: Tensor,
        context: Tensor,
        frames: int,
        size: tuple[int, int],
    ) -> Tensor:
        """(R, cin - C, H, W) and (R, C, H, W) -> (R, cout, H, W); `size` is not used."""
        return self.run(joined(x_RCHW, kept_RCHW, 1), emb_RE, context, frames)


class LargerLayer(Layer):
    """The last layer of a level on the way up, then the step to the size of the features that come
    next.
    """

    def __init__(self, spec: UNetSpec, level: Level, number: int) -> None:
        super().__init__(spec, level, number)
        self.resample = Upsample(level.width, parts_of(spec))

    def construct(
        self,
        x_RCHW: Tensor,
        kept_RCHW: Tensor,
        emb_RE: Tensor,
        context: Tensor,
        frames: int,
        size: tuple[int, int],
    ) -> Tensor:
        """(R, cin - C, H, W) and (R, C, H, W) -> (R, cout, *size)."""
        x_RCHW = self.run(joined(x_RCHW, kept_RCHW, 1), emb_RE, context, frames)
        return self.resample(x_RCHW, size, frames)


LAYERS = (Layer, JoinLayer, LargerLayer)


def down_blocks(spec: UNetSpec, kinds: tuple[type[Layer], ...] = LAYERS) -> list[nn.Cell]:
    """Everything on the way down whose output is kept for the way up."""
    cells = []
    for level in spec.down():
        cells += [kinds[0](spec, level, j) for j in range(len(level.layers))]
        cells += [Smaller(spec, level.width)] if level.resample else []
    return cells


def up_blocks(spec: UNetSpec, kinds: tuple[type[Layer], ...] = LAYERS) -> list[nn.Cell]:
    """As many as `down_blocks`, and one for the first convolution: each reads one kept feature, the
    last first.
    """
    cells = []
    for level in spec.up():
        last = len(level.layers) - 1
        cells += [
            kinds[2 if level.resample and j == last else 1](spec, level, j) for j in range(last + 1)
        ]
    return cells
