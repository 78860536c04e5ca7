"""The motion modules of a UNet alone, without the layers that they stand behind.

Legend: B videos, F frames, R = B*F rows, C channels, H W pixels.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mindspore import Tensor, nn

from mindlong.networks.unet import motion
from mindlong.networks.unet.blocks import Transformer
from mindlong.ops.precision import set_types

if TYPE_CHECKING:
    from mindlong.networks.unet.spec import UNetSpec
    from mindlong.networks.unet.stage_spec import Level


class _Place(nn.Cell):
    """A layer with nothing but its motion module."""

    def __init__(self, spec: UNetSpec, level: Level, layer: int) -> None:
        super().__init__()
        width = level.layers[layer][1]
        self.motion = Transformer(spec, motion.stage_in(spec), width, level.heads, level.head_dim)

    def construct(self, x_RCHW: Tensor, frames: int) -> Tensor:
        return self.motion(x_RCHW, None, None, frames)


class MotionModules(nn.Cell):
    """Every motion module of a network, in the order in which they run. Parameters are called as in
    the whole network.

    Args:
        spec: of the whole network.
        dtype: the type that operators compute in.
    """

    def __init__(self, spec: UNetSpec, dtype: str = "float32") -> None:
        super().__init__()
        stage, gap = motion.stage_in(spec), nn.Identity
        self.down, self.up = nn.CellList(), nn.CellList()
        for level in spec.down():
            self.down.extend([_Place(spec, level, j) for j in range(len(level.layers))])
            self.down.extend([gap()] if level.resample else [])
        self.mid = nn.CellList([_Place(spec, spec.mid(), 0)] if stage.mid else [])
        for level in spec.up():
            self.up.extend([_Place(spec, level, j) for j in range(len(level.layers))])
        if dtype != "float32":
            set_types(self, dtype)

    def construct(self, features: tuple[Tensor, ...], frames: int) -> tuple[Tensor, ...]:
        """What each module makes of features of its own place: (R, C, H, W) each, as many as there
        are modules, in their order.
        """
        made, number = (), 0
        for cell in (*self.down, *self.mid, *self.up):
            if isinstance(cell, _Place):
                made += (cell(features[number], frames),)
                number += 1
        return made
