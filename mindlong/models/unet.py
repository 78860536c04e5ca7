"""The UNet of all latent video families, assembled from a spec (mindlong.spec.unet).

Legend: B videos, C channels, F frames, h w latent pixels, R = B*F rows, T tokens of a prompt, D their width.
"""

from __future__ import annotations

import mindspore as ms
from mindspore import Tensor, nn, ops

from mindlong.models.blocks import Layer, NumberEmbedding, Transformer, parts_of
from mindlong.models.resnet import Downsample, Upsample
from mindlong.models.rows import fold, start_at_zero, unfold
from mindlong.ops.activation import SiLU
from mindlong.spec.unet import Level, UNetSpec


class Descent(nn.Cell):
    """One level on the way down: layers, then the step to the next size."""

    def __init__(self, spec: UNetSpec, level: Level) -> None:
        super().__init__()
        self.layers = nn.CellList([Layer(spec, level, j) for j in range(len(level.layers))])
        self.resamples = level.resample
        if level.resample:
            self.resample = Downsample(level.width, parts=parts_of(spec))

    def construct(self, x: Tensor, emb_RE: Tensor, context: Tensor, frames: int) -> tuple[Tensor, ...]:
        """What every layer and the resampling left, in order."""
        kept = ()
        for layer in self.layers:
            x = layer(x, emb_RE, context, frames)
            kept += (x,)
        return (*kept, self.resample(x, frames)) if self.resamples else kept


class Middle(nn.Cell):
    """The layers at the smallest size."""

    def __init__(self, spec: UNetSpec) -> None:
        super().__init__()
        self.layers = nn.CellList([Layer(spec, spec.mid(), j) for j in range(len(spec.mid().layers))])

    def construct(self, x: Tensor, emb_RE: Tensor, context: Tensor, frames: int) -> Tensor:
        """(R, C, h, w) -> (R, C, h, w)."""
        for layer in self.layers:
            x = layer(x, emb_RE, context, frames)
        return x


class Ascent(nn.Cell):
    """One level on the way up: layers that each read one of the kept features, then the step to the next size."""

    def __init__(self, spec: UNetSpec, level: Level) -> None:
        super().__init__()
        self.layers = nn.CellList([Layer(spec, level, j) for j in range(len(level.layers))])
        self.resamples = level.resample
        if level.resample:
            self.resample = Upsample(level.width, parts_of(spec))

    def construct(self, x: Tensor, kept: tuple[Tensor, ...], emb_RE: Tensor, context: Tensor, frames: int) -> Tensor:
        """Takes as many of `kept` as it has layers, from the end; what is left says which size comes next."""
        for j, layer in enumerate(self.layers):
            x = layer(ops.concat((x, kept[-1 - j]), 1), emb_RE, context, frames)
        return self.resample(x, kept[-1 - len(self.layers)].shape[2:], frames) if self.resamples else x


def _input_check(spec: UNetSpec):
    """A check that runs while the graph is compiled: all it needs is shapes."""

    @ops.constexpr
    def check(x: tuple[int, ...], t: tuple[int, ...], context: tuple[int, ...], fps: bool) -> None:
        spec.check_inputs(x, t, context, fps)

    return check


class UNet(nn.Cell):
    """The network. Fill it with `mindlong.models.init.initialise` or from a file.

    Args:
        spec: what it is made of.
        dtype: the type that activations have, "float32" or "float16"; norms, softmax and the embedding of the timestep
            stay float32. Parameters are float32 unless the caller changes them.
        recompute: layers keep only their input for the backward pass and run again there: less memory, same numbers.

    Raises:
        ConfigError: inputs that do not fit; at the call.
    """

    def __init__(self, spec: UNetSpec, dtype: str = "float32", recompute: bool = False) -> None:
        super().__init__()
        self.spec, self.dtype, self.check = spec, getattr(ms, dtype), _input_check(spec)
        parts, first = parts_of(spec), spec.channels[0]
        self.embeddings = tuple(f"{name}_embedding" for name in spec.conditions)
        for name in self.embeddings:
            setattr(self, name, NumberEmbedding(first, spec.emb_dim))
        self.conv_in = parts.conv(spec.in_channels, first, 3, padding=1)
        self.entered = spec.entry is not None
        if self.entered:
            self.entry = Transformer(spec, spec.entry, first, spec.entry_heads, spec.head_of(0)[1])
        self.down = nn.CellList([Descent(spec, level) for level in spec.down()])
        self.mid = Middle(spec)
        self.up = nn.CellList([Ascent(spec, level) for level in spec.up()])
        self.act, self.norm_out = SiLU(), parts.norm(spec.groups, first, spec.eps, act=True)
        self.conv_out = parts.conv(first, spec.out_channels, 3, padding=1)
        self._start(spec, recompute)

    def _start(self, spec: UNetSpec, recompute: bool) -> None:
        if "conv_out" in spec.zero:
            start_at_zero(self.conv_out)
        if "fps" in spec.zero and "fps" in spec.conditions:
            start_at_zero(self.fps_embedding.fc2)
        for _, cell in self.cells_and_names() if recompute else ():
            if isinstance(cell, Layer):
                cell.recompute()

    def construct(self, x_BCFHW: Tensor, t_B: Tensor, context: Tensor, fps_B: Tensor | None = None) -> Tensor:
        """The network's prediction.

        Args:
            x_BCFHW: noisy latents (B, in_channels, F, h, w), any F, h and w.
            t_B: timesteps (B,).
            context: prompt vectors (B, T, D), or (B, F, T, D) with a prompt for each frame.
            fps_B: frames per second (B,), where the network is told them.

        Returns:
            float32 (B, out_channels, F, h, w).
        """
        self.check(x_BCFHW.shape, t_B.shape, context.shape, fps_B is not None)
        frames = x_BCFHW.shape[2]
        emb_RE = self._embedding((t_B, fps_B), frames)
        context = context.astype(self.dtype)
        x = self.conv_in(fold(x_BCFHW.astype(self.dtype)), frames)
        if self.entered:
            x = self.entry(x, emb_RE, context, frames)
        kept = (x,)
        for level in self.down:
            kept += level(kept[-1], emb_RE, context, frames)
        x = self.mid(kept[-1], emb_RE, context, frames)
        for level in self.up:
            x = level(x, kept, emb_RE, context, frames)
            kept = kept[: -len(level.layers)]
        return unfold(self.conv_out(self.norm_out(x, frames), frames), frames).astype(ms.float32)

    def _embedding(self, numbers: tuple[Tensor, ...], frames: int) -> Tensor:
        """The sum of the embeddings behind SiLU, repeated for every frame: (R, E)."""
        emb_BE = self.time_embedding(numbers[0])
        for name, number_B in zip(self.embeddings[1:], numbers[1:]):  # noqa: B905  graph mode knows no strict
            emb_BE = emb_BE + getattr(self, name)(number_B)
        batch, width = emb_BE.shape
        emb_BFE = self.act(emb_BE).astype(self.dtype).expand_dims(1).broadcast_to((batch, frames, width))
        return emb_BFE.reshape((batch * frames, width))
