"""A UNet conditioned on known frames by a zero-convolution branch: scale and shift of its features
at every level.

h <- h * (1 + Wc(c)) + Bc(c), then h <- h * (1 + Wm(m)) + Bm(m), behind the residual block and the
temporal convolution of each layer and before its transformers, on the way down and up; all four
convolutions start at zero, so that a fresh branch changes nothing (NUWA-XL, arXiv 2303.12346,
equations 10 and 11; `mindlong.networks.unet.control_spec`).

Legend: B videos, C channels, F frames, h w latent pixels, R = B*F rows, H W pixels of a level, M
channels of the mask.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import mindspore as ms
from mindspore import Tensor, nn, ops

from mindlong.networks.unet.blocks import JoinLayer, LargerLayer, Layer
from mindlong.networks.unet.cell import UNet
from mindlong.networks.unet.control_spec import AS_CODED, ControlSpec, Unit, unit_of_block, units
from mindlong.networks.unet.rows import fold, start_at_zero
from mindlong.networks.unet.stage_spec import Transformer
from mindlong.ops.activation import SiLU
from mindlong.ops.conv import Conv2d
from mindlong.ops.embedding import Embedding

if TYPE_CHECKING:
    from mindlong.networks.unet.spec import UNetSpec


class ZeroUnit(nn.Cell):
    """construct(cond (R, C, ..), mask (R, M, h, w)) -> the scale and the shift (R, width, H, W) of
    both steps taken together.
    """

    def __init__(
        self, cond: int, mask: int, width: int, cond_stride: int, mask_stride: int
    ) -> None:
        super().__init__()
        self.cond_scale, self.cond_shift = (self._zero(cond, width, cond_stride) for _ in range(2))
        self.mask_scale, self.mask_shift = (self._zero(mask, width, mask_stride) for _ in range(2))

    def _zero(self, cin: int, width: int, stride: int) -> nn.Cell:
        return start_at_zero(Conv2d(cin, width, 3, stride, padding=1))

    def construct(self, cond: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        second = 1 + self.mask_scale(mask)
        return (1 + self.cond_scale(cond)) * second, self.cond_shift(
            cond
        ) * second + self.mask_shift(mask)


class ControlBranch(nn.Cell):
    """construct(cond (B, C, F, h, w), mask (B, M, F)) -> (scale, shift) of every unit. Videos of
    which no frame is known get exactly 1 and 0.

    Args:
        sites: of the network.
        channels: of the condition.
        emb: width of the embedding that the depth is added to.
    """

    def __init__(self, sites: list[Unit], channels: int, emb: int, control: ControlSpec) -> None:
        super().__init__()
        if control.depths:
            self.depth = start_at_zero(Embedding(control.depths, emb))
        cascades = max(site.halvings for site in sites) + 1 if control.hidden else 0
        widths = [channels, *[control.hidden] * cascades]
        self.act = SiLU()
        self.cascade = nn.CellList(
            [Conv2d(widths[k], control.hidden, 3, 1 if k == 0 else 2, 1) for k in range(cascades)]
        )
        self.halvings = tuple(site.halvings if control.hidden else 0 for site in sites)
        cells = {"down": [], "up": []}
        for site in sites:
            stride = 2**site.halvings
            unit = ZeroUnit(
                control.hidden or channels,
                control.mask_channels,
                site.width,
                1 if control.hidden else stride,
                stride,
            )
            cells[site.name.split(".")[0]].append(unit)
        self.down, self.up = nn.CellList(cells["down"]), nn.CellList(cells["up"])

    def construct(self, cond_BCFHW: Tensor, mask_BMF: Tensor) -> tuple[tuple[Tensor, Tensor], ...]:
        cond, mask = (
            fold(cond_BCFHW),
            self._spread(mask_BMF, cond_BCFHW.shape).astype(cond_BCFHW.dtype),
        )
        some = self._some(mask_BMF).astype(cond_BCFHW.dtype)
        features = (cond,)
        if len(self.cascade) > 0:
            features = ()
            for conv in self.cascade:
                cond = self.act(conv(cond))
                features += (cond,)
        maps, number = (), 0
        for group in (self.down, self.up):
            for unit in group:
                scale, shift = unit(features[self.halvings[number]], mask)
                maps += ((1 + (scale - 1) * some, shift * some),)
                number += 1
        return maps

    def _spread(self, mask_BMF: Tensor, shape: tuple[int, ...]) -> Tensor:
        """(R, M, h, w), the same for all pixels of a frame."""
        batch, channels, frames = mask_BMF.shape
        rows = mask_BMF.transpose((0, 2, 1)).reshape((batch * frames, channels, 1, 1))
        return rows.broadcast_to((batch * frames, channels, shape[3], shape[4]))

    def _some(self, mask_BMF: Tensor) -> Tensor:
        """(R, 1, 1, 1): 1 where the video has a known frame."""
        batch, _, frames = mask_BMF.shape
        some_B1 = known_at_all(mask_BMF)
        return some_B1.broadcast_to((batch, frames)).reshape((batch * frames, 1, 1, 1))


def known_at_all(mask_BMF: Tensor) -> Tensor:
    """float32 (B, 1): 1 where a frame of the video is known."""
    known_BF = ops.split(mask_BMF, 1, 1)[0].squeeze(1)
    return (known_BF.astype(ms.float32).sum(1, keepdims=True) > 0.5).astype(ms.float32)


class _Modulated:
    """A layer whose context may be (prompt vectors, scale, shift): those change its features before
    its transformers.
    """

    def run(self, x_RCHW: Tensor, emb_RE: Tensor, context: Tensor | tuple, frames: int) -> Tensor:
        text = context[0] if isinstance(context, tuple) else context
        for name in self.order[: self.first_transformer]:
            x_RCHW = getattr(self, name)(x_RCHW, emb_RE, text, frames)
        if isinstance(context, tuple):
            x_RCHW = x_RCHW * context[1] + context[2]
        for name in self.order[self.first_transformer :]:
            x_RCHW = getattr(self, name)(x_RCHW, emb_RE, text, frames)
        return x_RCHW

    def _find(self, spec: UNetSpec) -> None:
        attending = [stage.name for stage in spec.stages if isinstance(stage, Transformer)]
        self.first_transformer = len([name for name in self.order if name not in attending])


class ModulatedLayer(_Modulated, Layer):
    """A layer of the way down."""

    def __init__(self, spec: UNetSpec, level, number: int) -> None:
        super().__init__(spec, level, number)
        self._find(spec)


class ModulatedJoinLayer(_Modulated, JoinLayer):
    """A layer of the way up."""

    def __init__(self, spec: UNetSpec, level, number: int) -> None:
        super().__init__(spec, level, number)
        self._find(spec)


class ModulatedLargerLayer(_Modulated, LargerLayer):
    """The last layer of a level on the way up."""

    def __init__(self, spec: UNetSpec, level, number: int) -> None:
        super().__init__(spec, level, number)
        self._find(spec)


class ControlledUNet(UNet):
    """The UNet with a branch. Parameters are the UNet's and `control.*`; without a condition it is
    the UNet, bit for bit.

    Args:
        spec: of the UNet, of any family.
        control: of the branch.
        dtype: as for UNet.
    """

    layers = (ModulatedLayer, ModulatedJoinLayer, ModulatedLargerLayer)

    def __init__(
        self, spec: UNetSpec, control: ControlSpec | None = None, dtype: str = "float32"
    ) -> None:
        super().__init__(spec, dtype)
        control = ControlSpec() if control is None else control
        self.control_spec, self.deep = control, control.depths > 0
        self.control = ControlBranch(units(spec, control), spec.in_channels, spec.emb_dim, control)
        self.unit_down, self.unit_up = unit_of_block(spec, control)
        self.compute_in(dtype)

    def construct(
        self,
        x_BCFHW: Tensor,
        t_B: Tensor,
        context: Tensor,
        fps_B: Tensor | None = None,
        cond_BCFHW: Tensor | None = None,
        mask_BMF: Tensor | None = None,
        depth_B: Tensor | None = None,
    ) -> Tensor:
        """The network's prediction, float32 (B, out_channels, F, h, w).

        Args:
            x_BCFHW, t_B, context, fps_B: as for UNet.
            cond_BCFHW, mask_BMF: from `mindlong.networks.unet.control_spec.condition`; both or
                none. Videos with nothing known pass as through the UNet alone.
            depth_B: int32 (B,), the level of the hierarchy, where the branch takes it.
        """
        self.check(x_BCFHW.shape, t_B.shape, context.shape, fps_B is not None)
        frames = x_BCFHW.shape[2]
        if cond_BCFHW is None:
            return self.run(
                x_BCFHW,
                self.embedding((t_B, fps_B), frames),
                context,
                self.same(context, self.unit_down),
                self.same(context, self.unit_up),
            )
        emb_RE = self.embedding((t_B, fps_B), frames, self._depth(depth_B, mask_BMF))
        maps = self.control(cond_BCFHW, mask_BMF)
        return self.run(
            x_BCFHW,
            emb_RE,
            context,
            self.modulated(context, maps, self.unit_down),
            self.modulated(context, maps, self.unit_up),
        )

    def same(self, context: Tensor, numbers: tuple[int, ...]) -> tuple:
        """For every block the prompt alone."""
        return (context,) * len(numbers)

    def modulated(self, context: Tensor, maps: tuple, numbers: tuple[int, ...]) -> tuple:
        """For every block the prompt, and the scale and shift of its unit where it has one."""
        contexts = ()
        for number in numbers:
            contexts += ((context, *maps[number]) if number >= 0 else context,)
        return contexts

    def _depth(self, depth_B: Tensor | None, mask_BMF: Tensor) -> Tensor | None:
        return self.control.depth(depth_B) * known_at_all(mask_BMF) if self.deep else None


class AsCodedUNet(ControlledUNet):
    """InfiNet's diffusers flavour as its code has it: the condition is the noisy video itself, the
    mask its first and last frame.

    construct(x, t, context, injected): `injected` is False at depth 0, where the UNet runs alone.
    """

    def __init__(self, spec: UNetSpec, dtype: str = "float32") -> None:
        super().__init__(spec, AS_CODED, dtype)

    def construct(
        self, x_BCFHW: Tensor, t_B: Tensor, context: Tensor, injected: bool = True
    ) -> Tensor:
        if not injected:
            return super().construct(x_BCFHW, t_B, context)
        batch, frames = x_BCFHW.shape[0], x_BCFHW.shape[2]
        mask = _first_and_last(frames).broadcast_to((batch, 1, frames))
        return super().construct(x_BCFHW, t_B, context, None, ops.stop_gradient(x_BCFHW), mask)


@ops.constexpr
def _first_and_last(frames: int) -> Tensor:
    return Tensor([[[1.0 if f in (0, frames - 1) else 0.0 for f in range(frames)]]], ms.float32)
