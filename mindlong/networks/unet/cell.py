"""The UNet of all latent video families, assembled from a spec (mindlong.networks.unet.spec).

Legend: B videos, C channels, F frames, h w latent pixels, R = B*F rows, T tokens of a prompt, D
their width.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import mindspore as ms
import numpy as np
from mindspore import Tensor, nn, ops

from mindlong.networks.unet.blocks import (
    LAYERS,
    GuidanceEmbedding,
    Layer,
    NumberEmbedding,
    Transformer,
    down_blocks,
    parts_of,
    up_blocks,
)
from mindlong.networks.unet.rows import fold, start_at_zero, unfold
from mindlong.ops.activation import SiLU
from mindlong.ops.own_graph import OwnGraph
from mindlong.ops.precision import set_types

if TYPE_CHECKING:
    from mindlong.networks.unet.spec import UNetSpec


def _input_check(spec: UNetSpec):
    """A check that runs while the graph is compiled: all it needs is shapes."""

    @ops.constexpr
    def check(
        x: tuple[int, ...],
        t: tuple[int, ...],
        context: tuple[int, ...],
        fps: bool,
        guidance: bool = False,
    ) -> None:
        spec.check_inputs(x, t, context, fps, guidance)

    return check


@ops.constexpr
def _places(start: int, frames: int) -> Tensor:
    """The places of a video's frames, float32 (F,)."""
    return Tensor(np.arange(start, start + frames, dtype=np.float32))


class UNet(OwnGraph):
    """The network. Fill it with `mindlong.networks.init.initialise` or from a file.

    Args:
        spec: what it is made of.
        dtype: the type that operators compute in, "float32", "float16" or "bfloat16"; sums in
            norms and softmax, and the layers that `spec.float32` names, stay float32. Parameters
            are float32 unless the caller changes them.

    Raises:
        ConfigError: inputs that do not fit; at the call.
    """

    layers = LAYERS  # the kinds of layer that it is built from

    def __init__(self, spec: UNetSpec, dtype: str = "float32") -> None:
        super().__init__()
        self.spec, self.check = spec, _input_check(spec)
        parts, first = parts_of(spec), spec.channels[0]
        self.embeddings = tuple(f"{name}_embedding" for name in spec.conditions if name != "frame")
        self.placed, self.rated = "frame" in spec.conditions, "fps" in spec.conditions
        self.told = bool(spec.guidance_dim)
        if self.told:
            self.guidance_embedding = GuidanceEmbedding(spec.guidance_dim, first)
        for name in spec.conditions:
            setattr(self, f"{name}_embedding", NumberEmbedding(first, spec.emb_dim))
        self.conv_in = parts.conv(spec.in_channels, first, 3, padding=1)
        self.entered = spec.entry is not None
        if self.entered:
            self.entry = Transformer(spec, spec.entry, first, spec.entry_heads, spec.head_of(0)[1])
        self.down = nn.CellList(down_blocks(spec, self.layers))
        self.mid = nn.CellList([Layer(spec, spec.mid(), j) for j in range(2)])
        self.up = nn.CellList(up_blocks(spec, self.layers))
        self.act, self.norm_out = SiLU(), parts.norm(spec.groups, first, spec.eps, act=True)
        self.conv_out = parts.conv(first, spec.out_channels, 3, padding=1)
        self._zeros(spec)
        self.compute_in(dtype)

    def compute_in(self, dtype: str) -> None:
        """Have the operators compute in `dtype`."""
        if dtype != "float32":
            set_types(self, dtype)

    def _zeros(self, spec: UNetSpec) -> None:
        if "conv_out" in spec.zero:
            start_at_zero(self.conv_out)
        for name in ("fps", "frame"):
            if name in spec.zero and name in spec.conditions:
                start_at_zero(getattr(self, f"{name}_embedding").fc2)

    def construct(self, x_BCFHW: Tensor, t_B: Tensor, context: Tensor, *more: Tensor) -> Tensor:
        """The network's prediction.

        Args:
            x_BCFHW: noisy latents (B, in_channels, F, h, w), any F, h and w.
            t_B: timesteps (B,).
            context: prompt vectors (B, T, D), or (B, F, T, D) with a prompt for each frame.
            more: frames per second (B,), where the network is conditioned on them; then the
                guidance (B,), where it is told it.

        Returns:
            float32 (B, out_channels, F, h, w).
        """
        rated, told = len(more) > int(self.told), len(more) > int(self.rated)
        self.check(x_BCFHW.shape, t_B.shape, context.shape, rated, told and self.told)
        frames = x_BCFHW.shape[2]
        numbers = (t_B, more[0]) if rated else (t_B,)
        emb_RE = self.embedding(numbers, frames, guidance_B=more[-1] if self.told else None)
        return self.run(
            x_BCFHW, emb_RE, context, (context,) * len(self.down), (context,) * len(self.up)
        )

    def run(
        self, x_BCFHW: Tensor, emb_RE: Tensor, context: Tensor, down: tuple, up: tuple
    ) -> Tensor:
        """The network behind its embeddings; `down` and `up` hold what each block is given as
        context, usually the same.
        """
        frames = x_BCFHW.shape[2]
        x = self.conv_in(fold(x_BCFHW), frames)
        if self.entered:
            x = self.entry(x, emb_RE, context, frames)
        kept = (x,)
        for i, block in enumerate(self.down):
            kept += (block(kept[-1], emb_RE, down[i], frames),)
        x = kept[-1]
        for layer in self.mid:
            x = layer(x, emb_RE, context, frames)
        before = (kept[0], *kept)
        for i, layer in enumerate(self.up):
            x = layer(x, kept[-1 - i], emb_RE, up[i], frames, before[-2 - i].shape[2:])
        return unfold(self.conv_out(self.norm_out(x, frames), frames), frames).astype(ms.float32)

    def embedding(
        self,
        numbers: tuple[Tensor, ...],
        frames: int,
        more_BE: Tensor | None = None,
        start: int = 0,
        guidance_B: Tensor | None = None,
    ) -> Tensor:
        """The sum of the embeddings (and `more_BE`) behind SiLU, for every frame: (R, E). `start`
        is the first frame's place.
        """
        if guidance_B is None:
            emb_BE = self.time_embedding(numbers[0])
        else:
            emb_BE = self.time_embedding.joined(numbers[0], self.guidance_embedding(guidance_B))
        for name, number_B in zip(self.embeddings[1:], numbers[1:]):  # noqa: B905  graph mode knows no strict
            emb_BE = emb_BE + getattr(self, name)(number_B)
        if more_BE is not None:
            emb_BE = emb_BE + more_BE
        batch, width = emb_BE.shape
        if self.placed:
            emb_BFE = self.act(
                emb_BE.expand_dims(1) + self.frame_embedding(_places(start, frames)).expand_dims(0)
            )
        else:
            emb_BFE = self.act(emb_BE).expand_dims(1).broadcast_to((batch, frames, width))
        return emb_BFE.reshape((batch * frames, width))


def alone(spec: UNetSpec, arrays: Mapping[str, np.ndarray]) -> UNet:
    """The network, to be run alone."""
    return UNet(spec)
