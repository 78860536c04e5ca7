"""CogVideoX's autoencoder, chunk by chunk: each half takes the next frames of one video and what
its convolutions keep of the frames before, and gives both on.

The norms' statistics are those of a chunk, so how a video is cut is part of the model
(`mindlong.networks.cogvideox_vae.spec.chunks`); the convolutions do not see where it is cut.

Legend: F frames of a chunk, n latents of it, C channels, H W pixels at a level, L latent channels.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import mindspore as ms
import numpy as np
from mindspore import Tensor, nn, ops

from mindlong.networks.cogvideox_vae.rate_cell import doubled, halved
from mindlong.networks.unet.resnet import Downsample, Upsample
from mindlong.ops.activation import SiLU
from mindlong.ops.conv import Conv2d, UpsampleNearest
from mindlong.ops.norm import GroupNorm
from mindlong.ops.own_graph import OwnGraph

if TYPE_CHECKING:
    from mindlong.networks.cogvideox_vae.spec import VideoVaeSpec

Kept = tuple[Tensor, ...]  # by place: the last two input frames of each causal convolution
Places = Iterator[int]


class CausalConv(nn.Cell):
    """3 x 3 x 3 over a frame and the two before it; before the first frame of a video stand copies
    of it. One 3 x 3 convolution over the channels of three frames.
    """

    def __init__(self, cin: int, cout: int, places: Places) -> None:
        super().__init__()
        self.place = next(places)
        self.conv = Conv2d(3 * cin, cout, 3, padding=1)

    def construct(self, x_FCHW: Tensor, kept: Kept) -> tuple[Tensor, Tensor]:
        """(F, cin, H, W) -> (F, cout, H, W), and the last two frames for the next chunk."""
        frames = x_FCHW.shape[0]
        past = kept[self.place] if len(kept) > 0 else ops.concat((x_FCHW[:1], x_FCHW[:1]), 0)
        whole = ops.concat((past, x_FCHW), 0)
        three = ops.concat((whole[:frames], whole[1 : frames + 1], whole[2:]), 1)
        return self.conv(three), whole[frames:]


class ChunkNorm(GroupNorm):
    """The encoder's norm: GroupNorm over all frames of a chunk, and SiLU."""

    def __init__(self, spec: VideoVaeSpec, channels: int) -> None:
        super().__init__(spec.groups, channels, spec.eps, act=True)

    def construct(self, x_FCHW: Tensor, z_nLhw: Tensor) -> Tensor:
        """(F, C, H, W) -> the same shape; the second input is the decoder's."""
        return self.joint(x_FCHW, x_FCHW.shape[0])


@ops.constexpr
def _frame_index(latents: int, frames: int) -> Tensor:
    """Which latent scales a frame: int32 (frames,). The first of an odd number has its own."""
    alone = int(frames > 1 and frames % 2 == 1)
    rest, of = frames - alone, latents - alone
    found = [0] * alone + [alone + i * of // rest for i in range(rest)]
    return Tensor(found, ms.int32)


class SpatialNorm(nn.Cell):
    """The decoder's norm: GroupNorm over all frames of a chunk, scaled and shifted by its latents;
    and SiLU. What latents give is made at their size, then enlarged: the same numbers.
    """

    def __init__(self, spec: VideoVaeSpec, channels: int) -> None:
        super().__init__()
        self.norm = GroupNorm(spec.groups, channels, spec.eps)
        self.conv_y = Conv2d(spec.latent_channels, channels, 1)
        self.conv_b = Conv2d(spec.latent_channels, channels, 1)
        self.enlarge, self.act = UpsampleNearest(), SiLU()

    def construct(self, x_FCHW: Tensor, z_nLhw: Tensor) -> Tensor:
        """(F, C, H, W), (n, L, h, w) -> (F, C, H, W)."""
        normed = self.norm.joint(x_FCHW, x_FCHW.shape[0])
        scale = self._spread(self.conv_y(z_nLhw), x_FCHW)
        return self.act(normed * scale + self._spread(self.conv_b(z_nLhw), x_FCHW))

    def _spread(self, y_nChw: Tensor, x_FCHW: Tensor) -> Tensor:
        """(n, C, h, w) -> (F, C, H, W) by nearest neighbours."""
        frames, _, height, width = x_FCHW.shape
        y = y_nChw
        if y.shape[2:] != (height, width):
            y = self.enlarge(y, (height, width))
        if y.shape[0] == frames:
            return y
        return ops.gather(y, _frame_index(y.shape[0], frames), 0)


class ResBlock(nn.Cell):
    """Norm, SiLU and causal convolution, twice, beside a skip."""

    def __init__(
        self, spec: VideoVaeSpec, cin: int, cout: int, decodes: bool, places: Places
    ) -> None:
        super().__init__()
        kind = SpatialNorm if decodes else ChunkNorm
        self.widens = cin != cout
        self.norm1, self.conv1 = kind(spec, cin), CausalConv(cin, cout, places)
        self.norm2, self.conv2 = kind(spec, cout), CausalConv(cout, cout, places)
        if self.widens:
            self.skip = Conv2d(cin, cout, 1)

    def construct(self, x_FCHW: Tensor, z_nLhw: Tensor, kept: Kept) -> tuple[Tensor, Kept]:
        """(F, cin, H, W) -> (F, cout, H, W), and what its convolutions keep."""
        h, first = self.conv1(self.norm1(x_FCHW, z_nLhw), kept)
        h, second = self.conv2(self.norm2(h, z_nLhw), kept)
        return h + (self.skip(x_FCHW) if self.widens else x_FCHW), (first, second)


class Level(nn.Cell):
    """Residual blocks of one width, then the change to the next level's size and frame rate.

    Args:
        resample: "", "down" or "up". in_time: frames are halved or doubled too.
    """

    def __init__(
        self,
        spec: VideoVaeSpec,
        widths: tuple[int, int],
        blocks: int,
        places: Places,
        resample: str,
        in_time: bool,
        decodes: bool,
    ) -> None:
        super().__init__()
        cin, cout = widths
        self.blocks = nn.CellList(
            [ResBlock(spec, cin if j == 0 else cout, cout, decodes, places) for j in range(blocks)]
        )
        self.resample, self.in_time = resample, in_time
        if resample == "down":
            self.downsample = Downsample(cout, asymmetric=True)
        if resample == "up":
            self.upsample = Upsample(cout)

    def construct(self, x_FCHW: Tensor, z_nLhw: Tensor, kept: Kept) -> tuple[Tensor, Kept]:
        """(F, cin, H, W) -> (F', cout, H', W'), and what its convolutions keep."""
        made = ()
        for block in self.blocks:
            x_FCHW, new = block(x_FCHW, z_nLhw, kept)
            made = made + new
        return self._resampled(x_FCHW), made

    def _resampled(self, x: Tensor) -> Tensor:
        if self.resample == "down":
            return self.downsample(halved(x) if self.in_time else x)
        if self.resample == "up":
            return self.upsample(doubled(x) if self.in_time else x)
        return x


class Half(nn.Cell):
    """One half of the autoencoder: `decodes` says which."""

    def __init__(self, spec: VideoVaeSpec, decodes: bool) -> None:
        super().__init__()
        places = itertools.count()
        last, latent = spec.block_channels[-1], spec.latent_channels
        self.decodes = decodes
        self.conv_in = CausalConv(
            *((latent, last) if decodes else (spec.channels, spec.block_channels[0])), places
        )
        if decodes:  # places are counted in the order in which the convolutions run
            self.mid = self._middle(spec, places)
        self.levels = nn.CellList(self._levels(spec, places))
        if not decodes:
            self.mid = self._middle(spec, places)
        width = spec.block_channels[0] if decodes else last
        self.norm_out = (SpatialNorm if decodes else ChunkNorm)(spec, width)
        self.conv_out = CausalConv(width, spec.channels if decodes else 2 * latent, places)

    def _middle(self, spec: VideoVaeSpec, places: Places) -> nn.CellList:
        width = spec.block_channels[-1]
        return nn.CellList([ResBlock(spec, width, width, self.decodes, places) for _ in range(2)])

    def _levels(self, spec: VideoVaeSpec, places: Places) -> list[Level]:
        levels = spec.up_levels if self.decodes else spec.levels
        blocks, way = spec.layers + self.decodes, "up" if self.decodes else "down"
        last = len(levels) - 1
        return [
            Level(
                spec,
                widths,
                blocks,
                places,
                way if i < last else "",
                i < spec.halvings,
                self.decodes,
            )
            for i, widths in enumerate(levels)
        ]

    def construct(self, x: Tensor, *kept: Tensor) -> tuple[Tensor, ...]:
        """The next frames of a video and what was kept of those before (nothing at its start) ->
        what is made of them, float32, and what is to be kept.
        """
        z = x
        x, first = self.conv_in(x, kept)
        made = (first,)
        if self.decodes:
            x, made = self._through(self.mid, x, z, kept, made)
        x, made = self._through(self.levels, x, z, kept, made)
        if not self.decodes:
            x, made = self._through(self.mid, x, z, kept, made)
        x, last = self.conv_out(self.norm_out(x, z), kept)
        return (x.astype(ms.float32), *made, last)

    def _through(
        self, cells: nn.CellList, x: Tensor, z: Tensor, kept: Kept, made: Kept
    ) -> tuple[Tensor, Kept]:
        for cell in cells:
            x, new = cell(x, z, kept)
            made = made + new
        return x, made


class VideoVae(OwnGraph):
    """The whole autoencoder; it is run by its halves (`streams_cell`).

    Latents here are the network's own; the pipelines multiply them by `spec.scaling`.
    """

    def __init__(self, spec: VideoVaeSpec) -> None:
        super().__init__()
        self.spec = spec
        self.encoder, self.decoder = Half(spec, decodes=False), Half(spec, decodes=True)

    def construct(self, x_FCHW: Tensor, noise_nLhw: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """One chunk of images -> (reconstruction from a latent drawn with `noise`, mean, log
        variance).
        """
        mean, logvar = moments(self.encoder(x_FCHW)[0])
        z = mean + ops.exp(0.5 * logvar) * noise_nLhw
        return self.decoder(z)[0], mean, logvar


def moments(out_n2Lhw: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and log variance of what the encoder gives."""
    mean, logvar = ops.chunk(out_n2Lhw, 2, 1)
    return mean, ops.clamp(logvar, -30.0, 20.0)


def build(spec: VideoVaeSpec, dtype: str = "float32") -> VideoVae:
    """The autoencoder; the type of its activations is that of what it is given."""
    return VideoVae(spec)


class Alone(OwnGraph):
    """A half of the autoencoder on one chunk at the start of a video."""

    def __init__(self, half: Half) -> None:
        super().__init__(auto_prefix=False)
        self.half = half

    def construct(self, x_FCHW: Tensor) -> Tensor:
        """Images -> mean and log variance stacked on channels, or latents -> images."""
        out = self.half(x_FCHW)[0]
        return out if self.half.decodes else ops.concat(moments(out), 1)


def encoder_alone(spec: VideoVaeSpec, arrays: Mapping[str, np.ndarray]) -> nn.Cell:
    """The encoding half, to be run alone."""
    return _only(VideoVae(spec), "encoder")


def decoder_alone(spec: VideoVaeSpec, arrays: Mapping[str, np.ndarray]) -> nn.Cell:
    """The decoding half, to be run alone."""
    return _only(VideoVae(spec), "decoder")


def _only(vae: VideoVae, side: str) -> nn.Cell:
    return Alone(getattr(vae, side))
