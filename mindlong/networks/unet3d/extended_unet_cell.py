"""Unet3D with text as memory tokens, features shifted along time and space, class conditions: each
a field of its spec, none of them the original's.

Legend: as in `mindlong.networks.unet3d.cell`; M memory tokens, K their width.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import mindspore as ms
from mindspore import Tensor, ops

from mindlong.networks.layers import SinusoidalPosEmb
from mindlong.networks.unet3d.cell import Attentions, Middle, Stage, Unet3D
from mindlong.networks.unet3d.extended_cell import (
    ExtendedLinear,
    ExtendedSpatial,
    ExtendedTemporal,
    TextMemory,
)
from mindlong.networks.unet3d.positions import focus_bias
from mindlong.ops.embedding import Embedding
from mindlong.ops.linear import Linear
from mindlong.ops.own_graph import OwnGraph
from mindlong.ops.precision import joined

if TYPE_CHECKING:
    from mindlong.networks.unet3d.spec import Unet3DSpec


class ExtendedAttentions(Attentions):
    """The same three with memory and shifts."""

    linear, spatial, temporal = ExtendedLinear, ExtendedSpatial, ExtendedTemporal


class ExtendedStage(Stage):
    """A level whose attentions also take the memory and the focus."""

    made = ExtendedAttentions

    def construct(self, x: Tensor, emb_BE: Tensor, *reads: Tensor | None) -> tuple[Tensor, Tensor]:
        """As `Stage`; reads: its cos, sin and bias, then memory (B, M, K) and focus (B,)."""
        cos, sin, bias, memory, focus = reads
        x = self.res2(self.res1(x, emb_BE), emb_BE)
        if self.has_spatial:
            x = self.spatial(x, memory)
        x = self.temporal(x, cos, sin, bias, memory, focus)
        return (x, self.resample(x)) if self.has_resample else (x, x)


class ExtendedMiddle(Middle):
    """The lowest level with memory and shifts."""

    made = ExtendedAttentions

    def construct(self, x: Tensor, emb_BE: Tensor, *reads: Tensor | None) -> Tensor:
        """As `Middle`; reads as in `ExtendedStage`."""
        cos, sin, bias, memory, focus = reads
        x = self.spatial(self.res1(x, emb_BE), memory)
        return self.res2(self.temporal(x, cos, sin, bias, memory, focus), emb_BE)


class ExtendedUnet3D(Unet3D):
    """The network; with every field off it would be Unet3D."""

    stage, middle, made = ExtendedStage, ExtendedMiddle, ExtendedAttentions

    def __init__(self, spec: Unet3DSpec) -> None:
        super().__init__(spec)
        self.classes, self.remembers = spec.classes, spec.text_memory > 0
        if self.classes:
            self.class_embedding = Embedding(spec.classes + 1, spec.time_dim)
        self.numbered = spec.frame_numbers
        if self.numbered:
            self.sinusoid = SinusoidalPosEmb(spec.first)
            self.frame_embedding = Linear(spec.first, spec.first)
        if self.remembers:
            self.text_memory = TextMemory(spec.cond_dim, spec.text_memory)

    def construct(
        self,
        x_BCFHW: Tensor,
        t_B: Tensor,
        cond_BD: Tensor | None = None,
        null_mask_B: Tensor | None = None,
        focus_mask_B: Tensor | None = None,
        label_B: Tensor | None = None,
    ) -> Tensor:
        """The network's prediction.

        Args:
            x_BCFHW, t_B, cond_BD, null_mask_B, focus_mask_B: as for Unet3D.
            label_B: int32 (B,), the class of each video, -1 for none; None: none at all.

        Returns:
            float32 (B, out_dim, F, H, W).
        """
        self.check(x_BCFHW.shape, cond_BD is not None)
        batch, channels, frames, height, width = x_BCFHW.shape
        x = x_BCFHW.transpose((0, 2, 1, 3, 4)).reshape((batch * frames, channels, height, width))
        cond = self._condition(cond_BD, null_mask_B) if self.conditional else None
        memory = self.text_memory(cond) if self.remembers else None
        emb_BE = self._told(t_B, cond, label_B)
        out = self._extended(x, frames, emb_BE, memory, focus_mask_B)
        out = out.reshape((batch, frames, -1, height, width)).transpose((0, 2, 1, 3, 4))
        return out.astype(ms.float32)

    def _told(self, t_B: Tensor, cond_BD: Tensor | None, label_B: Tensor | None) -> Tensor:
        """Time and class, then the condition, behind SiLU."""
        emb = self.time_mlp(t_B)
        if self.classes:
            label = ops.zeros_like(t_B).astype(ms.int32) - 1 if label_B is None else label_B
            emb = emb + self.class_embedding(ops.select(label < 0, label * 0 + self.classes, label))
        if self.conditional:
            emb = ops.concat((emb, cond_BD.astype(emb.dtype)), -1)
        return self.act(emb)

    def _numbered(self, x_RCHW: Tensor, frames: int) -> Tensor:
        """With each frame's number added to its channels, where the network is told it."""
        if not self.numbered:
            return x_RCHW
        rows, channels, height, width = x_RCHW.shape
        number_FC = self.frame_embedding(self.sinusoid(ops.arange(frames)))
        x = x_RCHW.reshape((rows // frames, frames, channels, height, width))
        return (x + number_FC.reshape((1, frames, channels, 1, 1)).astype(x.dtype)).reshape(
            x_RCHW.shape
        )

    def _extended(
        self,
        x: Tensor,
        frames: int,
        emb_BE: Tensor,
        memory: Tensor | None,
        focus: Tensor | None,
    ) -> Tensor:
        cos, sin = self.rotary(frames)
        free = self.time_bias(frames)
        bias = free if focus is None else focus_bias(free, focus)
        before = self._numbered(self.init_conv(x), frames)
        first = bias if self.focus_everywhere else free
        x = self.init_temporal(before, cos, sin, first, memory, focus)
        long_skip, skips = before if self.skip_early else x, ()
        for stage in self.downs:
            skip, x = stage(x, emb_BE, cos, sin, bias, memory, focus)
            skips += (skip,)
        x = self.mid(x, emb_BE, cos, sin, bias, memory, focus)
        for i, stage in enumerate(self.ups):
            up = joined(x, skips[-1 - i], 1)
            _, x = stage(up, emb_BE, cos, sin, bias, memory, focus)
        return self.final(joined(x, long_skip, 1), emb_BE)


class GuidedUnet3D(OwnGraph):
    """Classifier-free guidance (arXiv 2207.12598): null + (conditional - null) * scale, two passes
    of one network.

    With a scale of 1, or a network without conditions, one pass.
    """

    def __init__(self, network: Unet3D, scale: float) -> None:
        super().__init__(auto_prefix=False)  # the network's parameters keep their names
        self.network, self.scale = network, float(scale)
        self.guided = self.scale != 1.0 and (network.conditional or network.spec.classes > 0)

    def construct(
        self,
        x_BCFHW: Tensor,
        t_B: Tensor,
        cond_BD: Tensor | None = None,
        focus_mask_B: Tensor | None = None,
        *label: Tensor,
    ) -> Tensor:
        """(B, C, F, H, W) -> (B, out_dim, F, H, W)."""
        wanted = self.network(x_BCFHW, t_B, cond_BD, None, focus_mask_B, *label)
        if not self.guided:
            return wanted
        null = t_B > -1 if self.network.conditional else None
        absent = self.network(x_BCFHW, t_B, cond_BD, null, focus_mask_B)
        return absent + (wanted - absent) * self.scale
