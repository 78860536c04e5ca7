"""Unet3D: the pixel-space, space-time factorised network of Video Diffusion Models (arXiv
2204.03458).

Numbers and state dict of video-diffusion-pytorch 0.7.0 (`Unet3D`); names in
`mindlong.networks.unet3d.names`.

Legend: B batch, C channels, F frames, H W pixels, R = B*F rows, D width of the condition, E width
of the embedding that conditions the residual blocks. Frames are folded behind the batch once at the
entrance, so that every 1 x k x k convolution is a 2-D one; only the temporal attentions know of
frames.
"""

from __future__ import annotations

from functools import partial

import mindspore as ms
from mindspore import Parameter, Tensor, nn, ops

from mindlong.networks.layers import TimeMLP
from mindlong.networks.unet3d.attention import LinearAttention, SpatialAttention, TemporalAttention
from mindlong.networks.unet3d.positions import RelativeBias, RotaryAngles, focus_bias
from mindlong.networks.unet3d.spec import (
    BIAS_BUCKETS,
    BIAS_MAX_DISTANCE,
    NORM_GROUPS,
    SPATIAL_HEAD_DIM,
    Unet3DSpec,
)
from mindlong.ops.activation import SiLU
from mindlong.ops.conv import Conv2d, ConvTranspose2d
from mindlong.ops.linear import Linear
from mindlong.ops.norm import ChannelRMSNorm, GroupNorm
from mindlong.ops.own_graph import OwnGraph
from mindlong.ops.precision import joined


class ClipGroupNorm(GroupNorm):
    """GroupNorm, FiLM and SiLU with statistics over all frames of a video, as releases before 0.7.0
    had it.
    """

    def __init__(self, width: int, film: bool) -> None:
        super().__init__(NORM_GROUPS, width, act=True, film=film)

    def of_rows(
        self, x_RCHW: Tensor, batch: int, scale_BC: Tensor | None, shift_BC: Tensor | None
    ) -> Tensor:
        """(R, C, H, W) -> the same shape."""
        return self.joint(x_RCHW, x_RCHW.shape[0] // batch, scale_BC, shift_BC)


class ResBlock(nn.Cell):
    """Two 3 x 3 convolutions, each with its norm and SiLU; the embedding scales and shifts the
    first norm.
    """

    def __init__(self, spec: Unet3DSpec, cin: int, cout: int, timed: bool = True) -> None:
        super().__init__()
        self.timed, self.widens, self.grouped = timed, cin != cout, spec.block_norm == "group"
        norm = ClipGroupNorm if self.grouped else partial(ChannelRMSNorm, act=True)
        if timed:
            self.time_proj = Linear(spec.emb_dim, 2 * cout)
        self.conv1 = Conv2d(cin, cout, 3, padding=1)
        self.norm1 = norm(cout, film=timed)
        self.conv2 = Conv2d(cout, cout, 3, padding=1)
        self.norm2 = norm(cout, film=False)
        if self.widens:
            self.skip = Conv2d(cin, cout, 1)

    def construct(self, x_RCHW: Tensor, emb_BE: Tensor) -> Tensor:
        """(R, cin, H, W) -> (R, cout, H, W); `emb_BE` has been through SiLU already."""
        scale_BC, shift_BC = None, None
        if self.timed:
            scale_BC, shift_BC = ops.chunk(self.time_proj(emb_BE), 2, -1)
        h = self.conv1(x_RCHW)
        if self.grouped:
            h = self.norm1.of_rows(h, emb_BE.shape[0], scale_BC, shift_BC)
            h = self.norm2.of_rows(self.conv2(h), emb_BE.shape[0], None, None)
        else:
            h = self.norm2(self.conv2(self.norm1(h, scale_BC, shift_BC)))
        return h + (self.skip(x_RCHW) if self.widens else x_RCHW)


class Attentions:
    """How the three attentions are made of (spec, width)."""

    @staticmethod
    def linear(spec: Unet3DSpec, width: int) -> nn.Cell:
        """Of linear cost over the pixels of a frame."""
        return LinearAttention(width, spec.attn_heads, SPATIAL_HEAD_DIM)

    @staticmethod
    def spatial(spec: Unet3DSpec, width: int) -> nn.Cell:
        """Over the pixels of a frame."""
        return SpatialAttention(width, spec.attn_heads, SPATIAL_HEAD_DIM)

    @staticmethod
    def temporal(spec: Unet3DSpec, width: int) -> nn.Cell:
        """Over the frames of a pixel."""
        return TemporalAttention(width, spec.attn_heads, spec.attn_dim_head, spec.rotary_dim)


class Stage(nn.Cell):
    """One level of the way down or up: two residual blocks, attention in space, attention in
    time.
    """

    made = Attentions

    def __init__(self, spec: Unet3DSpec, cin: int, cout: int, resample: nn.Cell | None) -> None:
        super().__init__()
        self.has_spatial, self.has_resample = spec.use_sparse_linear_attn, resample is not None
        self.res1 = ResBlock(spec, cin, cout)
        self.res2 = ResBlock(spec, cout, cout)
        if self.has_spatial:
            self.spatial = self.made.linear(spec, cout)
        self.temporal = self.made.temporal(spec, cout)
        if self.has_resample:
            self.resample = resample

    def construct(
        self, x: Tensor, emb_BE: Tensor, cos: Tensor, sin: Tensor, bias: Tensor
    ) -> tuple[Tensor, Tensor]:
        """(R, cin, H, W) -> the level's output (R, cout, H, W), and that at the next level's
        size.
        """
        x = self.res2(self.res1(x, emb_BE), emb_BE)
        if self.has_spatial:
            x = self.spatial(x)
        x = self.temporal(x, cos, sin, bias)
        return (x, self.resample(x)) if self.has_resample else (x, x)


class Middle(nn.Cell):
    """The lowest level: full attention over the pixels of a frame, then over frames."""

    made = Attentions

    def __init__(self, spec: Unet3DSpec, width: int) -> None:
        super().__init__()
        self.res1 = ResBlock(spec, width, width)
        self.spatial = self.made.spatial(spec, width)
        self.temporal = self.made.temporal(spec, width)
        self.res2 = ResBlock(spec, width, width)

    def construct(
        self, x: Tensor, emb_BE: Tensor, cos: Tensor, sin: Tensor, bias: Tensor
    ) -> Tensor:
        """(R, C, H, W) -> the same shape."""
        x = self.spatial(self.res1(x, emb_BE))
        return self.res2(self.temporal(x, cos, sin, bias), emb_BE)


class Final(nn.Cell):
    """The last residual block, which is not conditioned on the time, and the projection to the
    output's channels.
    """

    def __init__(self, spec: Unet3DSpec) -> None:
        super().__init__()
        self.res = ResBlock(spec, 2 * spec.first, spec.dim, timed=False)
        self.conv = Conv2d(spec.dim, spec.out_channels, 1)

    def construct(self, x_RCHW: Tensor, emb_BE: Tensor) -> Tensor:
        """(R, 2*first, H, W) -> (R, out, H, W)."""
        return self.conv(self.res(x_RCHW, emb_BE))


def _stages(spec: Unet3DSpec, down: bool, kind: type[Stage]) -> nn.CellList:
    last, cells = len(spec.stages) - 1, []
    for i, (cin, cout) in enumerate(spec.stages if down else reversed(spec.stages)):
        width = cout if down else cin
        resample = (
            (Conv2d if down else ConvTranspose2d)(width, width, 4, stride=2, padding=1)
            if i < last
            else None
        )
        cells.append(kind(spec, cin if down else 2 * cout, width, resample))
    return nn.CellList(cells)


def _checker(spec: Unet3DSpec):
    """A check of the inputs that runs while the graph is compiled: all it needs is shapes."""

    @ops.constexpr
    def check(shape: tuple[int, ...], has_cond: bool) -> None:
        spec.check_video(shape)
        if spec.cond_dim and not has_cond:
            raise ValueError(
                f"the network is conditional (cond_dim {spec.cond_dim}); it needs cond (batch, "
                f"{spec.cond_dim}), with a null_mask where the condition is to be dropped"
            )
        if has_cond and not spec.cond_dim:
            raise ValueError("cond was given but the network is unconditional (cond_dim is empty)")

    return check


class Unet3D(OwnGraph):
    """The network. Build it from a spec, fill it with `mindlong.networks.init.initialise` or from a
    file.

    Raises:
        ValueError: a video whose channels or size do not fit, a condition missing or not expected;
            at the call.
    """

    stage, middle, made = Stage, Middle, Attentions  # what its levels are built from

    def __init__(self, spec: Unet3DSpec) -> None:
        super().__init__()
        self.spec = spec
        self.check, self.cond_dim, self.conditional = (
            _checker(spec),
            spec.cond_dim,
            bool(spec.cond_dim),
        )
        self.focus_everywhere, self.skip_early = not spec.compat, spec.long_skip == "before_attn"
        self.time_bias = RelativeBias(spec.attn_heads, BIAS_BUCKETS, BIAS_MAX_DISTANCE)
        self.rotary = RotaryAngles(spec.rotary_dim)
        self.time_mlp, self.act = TimeMLP(spec.dim, spec.time_dim), SiLU()
        if self.conditional:
            self.null_cond_emb = Parameter(ops.zeros((1, spec.cond_dim)))
        kernel = spec.init_kernel_size
        self.init_conv = Conv2d(spec.channels, spec.first, kernel, padding=kernel // 2)
        self.init_temporal = self.made.temporal(spec, spec.first)
        self.downs, self.ups = _stages(spec, True, self.stage), _stages(spec, False, self.stage)
        self.mid = self.middle(spec, spec.stages[-1][1])
        self.final = Final(spec)

    def init_weights(self, draw) -> None:
        """The null condition starts as N(0, 1)."""
        if self.conditional:
            self.null_cond_emb.set_data(
                Tensor(draw("null_cond_emb").standard_normal((1, self.cond_dim), "float32"))
            )

    def construct(
        self,
        x_BCFHW: Tensor,
        t_B: Tensor,
        cond_BD: Tensor | None = None,
        null_mask_B: Tensor | None = None,
        focus_mask_B: Tensor | None = None,
    ) -> Tensor:
        """The network's prediction.

        Args:
            x_BCFHW: noisy video, float32 (B, C, F, H, W), any F, H and W multiples of
                `spec.multiple`.
            t_B: timesteps (B,), integers.
            cond_BD: condition (B, D); needed where, and only where, the network is conditional.
            null_mask_B: bool (B,); True replaces that row of `cond_BD` by the learned null
                condition.
            focus_mask_B: bool (B,); True lets every frame of that video attend to itself only
                (arXiv 2204.03458, joint training on images).

        Returns:
            float32 (B, out_dim, F, H, W).
        """
        self.check(x_BCFHW.shape, cond_BD is not None)
        batch, channels, frames, height, width = x_BCFHW.shape
        x = x_BCFHW.transpose((0, 2, 1, 3, 4)).reshape((batch * frames, channels, height, width))
        out = self._rows(x, frames, self._embedding(t_B, cond_BD, null_mask_B), focus_mask_B)
        out = out.reshape((batch, frames, -1, height, width)).transpose((0, 2, 1, 3, 4))
        return out.astype(ms.float32)

    def _embedding(self, t_B: Tensor, cond_BD: Tensor | None, null_mask_B: Tensor | None) -> Tensor:
        emb = self.time_mlp(t_B)
        if self.conditional:
            emb = ops.concat((emb, self._condition(cond_BD, null_mask_B).astype(emb.dtype)), -1)
        return self.act(emb)

    def _condition(self, cond_BD: Tensor, null_mask_B: Tensor | None) -> Tensor:
        """The condition, with the learned null condition in the rows that are dropped."""
        if null_mask_B is None:
            return cond_BD
        null = self.null_cond_emb.astype(cond_BD.dtype).broadcast_to(cond_BD.shape)
        dropped = null_mask_B.reshape((-1, 1)).broadcast_to(cond_BD.shape)
        return ops.select(dropped, null, cond_BD)

    def _rows(self, x: Tensor, frames: int, emb_BE: Tensor, focus_mask_B: Tensor | None) -> Tensor:
        x, long_skip, cos, sin, bias = self._entered(x, frames, focus_mask_B)
        skips = ()
        for stage in self.downs:
            skip, x = stage(x, emb_BE, cos, sin, bias)
            skips += (skip,)
        x = self.mid(x, emb_BE, cos, sin, bias)
        for i, stage in enumerate(self.ups):
            _, x = stage(joined(x, skips[-1 - i], 1), emb_BE, cos, sin, bias)
        return self.final(joined(x, long_skip, 1), emb_BE)

    def _entered(self, x: Tensor, frames: int, focus_mask_B: Tensor | None) -> tuple:
        """What the first level reads, what skips all levels, and the rotation and bias of every
        temporal attention.
        """
        cos, sin = self.rotary(frames)
        free = self.time_bias(frames)
        bias = free if focus_mask_B is None else focus_bias(free, focus_mask_B)
        before = self.init_conv(x)
        x = self.init_temporal(before, cos, sin, bias if self.focus_everywhere else free)
        return x, before if self.skip_early else x, cos, sin, bias
