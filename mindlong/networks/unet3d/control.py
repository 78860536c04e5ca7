"""The pixel-space Unet3D with a zero-convolution branch that conditions it on known frames (see
`mindlong.networks.unet.control`).

Legend: B videos, C channels, F frames, H W pixels, R = B*F rows, E width of the embedding, M
channels of the mask.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mindspore import Tensor

from mindlong.networks.unet.control import ControlBranch, known_at_all
from mindlong.networks.unet.control_spec import ControlSpec, Unit
from mindlong.networks.unet3d.cell import Stage, Unet3D
from mindlong.ops.precision import joined

if TYPE_CHECKING:
    from mindlong.networks.unet3d.spec import Unet3DSpec


def pixel_units(spec: Unet3DSpec) -> list[Unit]:
    """A unit for every level of both ways, behind its residual blocks."""
    last = len(spec.stages) - 1
    down = [Unit(f"down.{i}", i, cout) for i, (_, cout) in enumerate(spec.stages)]
    return down + [
        Unit(f"up.{i}", last - i, cin) for i, (cin, _) in enumerate(reversed(spec.stages))
    ]


class ModulatedStage(Stage):
    """A level whose features are scaled and shifted between its residual blocks and its
    attentions.
    """

    def modulated(
        self, x: Tensor, emb_BE: Tensor, cos: Tensor, sin: Tensor, bias: Tensor, maps: tuple
    ) -> tuple[Tensor, Tensor]:
        """As `construct`, with (scale, shift)."""
        x = self.res2(self.res1(x, emb_BE), emb_BE)
        x = x * maps[0] + maps[1]
        if self.has_spatial:
            x = self.spatial(x)
        x = self.temporal(x, cos, sin, bias)
        return (x, self.resample(x)) if self.has_resample else (x, x)

    def construct(
        self,
        x: Tensor,
        emb_BE: Tensor,
        cos: Tensor,
        sin: Tensor,
        bias: Tensor,
        maps: tuple | None = None,
    ) -> tuple[Tensor, Tensor]:
        """(R, cin, H, W) -> the level's output (R, cout, H, W), and that at the next level's
        size.
        """
        return (
            super().construct(x, emb_BE, cos, sin, bias)
            if maps is None
            else self.modulated(x, emb_BE, cos, sin, bias, maps)
        )


class ControlledUnet3D(Unet3D):
    """Unet3D with a branch. Parameters are the network's and `control.*`; without known frames it
    is Unet3D, bit for bit.
    """

    stage = ModulatedStage

    def __init__(self, spec: Unet3DSpec, control: ControlSpec | None = None) -> None:
        super().__init__(spec)
        control = ControlSpec() if control is None else control
        self.control_spec, self.deep = control, control.depths > 0
        self.control = ControlBranch(pixel_units(spec), spec.channels, spec.emb_dim, control)

    def construct(
        self,
        x_BCFHW: Tensor,
        t_B: Tensor,
        cond_BD: Tensor | None = None,
        null_mask_B: Tensor | None = None,
        focus_mask_B: Tensor | None = None,
        known_BCFHW: Tensor | None = None,
        mask_BMF: Tensor | None = None,
        depth_B: Tensor | None = None,
    ) -> Tensor:
        """The network's prediction, float32 (B, out_dim, F, H, W).

        Args:
            x_BCFHW, t_B, cond_BD, null_mask_B, focus_mask_B: as for Unet3D.
            known_BCFHW, mask_BMF: from `mindlong.networks.unet.control_spec.condition`; both or
                none.
            depth_B: int32 (B,), the level of the hierarchy, where the branch takes it.
        """
        if known_BCFHW is None:
            return super().construct(x_BCFHW, t_B, cond_BD, null_mask_B, focus_mask_B)
        self.check(x_BCFHW.shape, cond_BD is not None)
        batch, channels, frames, height, width = x_BCFHW.shape
        x = x_BCFHW.transpose((0, 2, 1, 3, 4)).reshape((batch * frames, channels, height, width))
        emb_BE = self._embedding(t_B, cond_BD, null_mask_B)
        if self.deep:
            emb_BE = emb_BE + self.control.depth(depth_B) * known_at_all(mask_BMF)
        out = self._told_rows(x, frames, emb_BE, focus_mask_B, self.control(known_BCFHW, mask_BMF))
        return out.reshape((batch, frames, -1, height, width)).transpose((0, 2, 1, 3, 4))

    def _told_rows(
        self, x: Tensor, frames: int, emb_BE: Tensor, focus_mask_B: Tensor | None, maps: tuple
    ) -> Tensor:
        x, long_skip, cos, sin, bias = self._entered(x, frames, focus_mask_B)
        skips = ()
        for i, stage in enumerate(self.downs):
            skip, x = stage(x, emb_BE, cos, sin, bias, maps[i])
            skips += (skip,)
        x = self.mid(x, emb_BE, cos, sin, bias)
        for i, stage in enumerate(self.ups):
            _, x = stage(joined(x, skips[-1 - i], 1), emb_BE, cos, sin, bias, maps[len(skips) + i])
        return self.final(joined(x, long_skip, 1), emb_BE)
