"""AutoencoderKL: images to latents and back (Stable Diffusion's first stage, arXiv 2112.10752);
names in networks/vae/names.py.

Legend: N images (frames folded behind the batch), C channels, H W pixels, h w latent pixels, L
latent channels.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from mindspore import Tensor, nn, ops
from mindspore import dtype as mstype

from mindlong.networks.unet.resnet import Downsample, ResBlock, Upsample
from mindlong.ops.attention import TokenAttention
from mindlong.ops.conv import Conv2d
from mindlong.ops.layout import Exchange
from mindlong.ops.linear import Linear
from mindlong.ops.norm import GroupNorm
from mindlong.ops.own_graph import OwnGraph

if TYPE_CHECKING:
    from mindlong.networks.vae.spec import VaeSpec


class PixelAttention(nn.Cell):
    """Every pixel of an image attends to every other: one head as wide as the image has
    channels, residual.
    """

    def __init__(self, channels: int, groups: int, eps: float) -> None:
        super().__init__()
        self.norm = GroupNorm(groups, channels, eps)
        self.to_q, self.to_k, self.to_v, self.to_out = (
            Linear(channels, channels) for _ in range(4)
        )
        self.attend, self.exchange = TokenAttention(1, channels**-0.5), Exchange()

    def construct(self, x_NCHW: Tensor) -> Tensor:
        """(N, C, H, W) -> the same shape."""
        count, channels, height, width = x_NCHW.shape
        tokens = self.exchange(self.norm(x_NCHW).reshape((count, channels, -1, 1)))
        tokens = tokens.reshape((count, -1, channels))
        mixed = self.to_out(self.attend(self.to_q(tokens), self.to_k(tokens), self.to_v(tokens)))
        return x_NCHW + self.exchange(mixed.expand_dims(3)).reshape(x_NCHW.shape)


class Middle(nn.Cell):
    """Residual block, attention, residual block at the smallest size."""

    def __init__(self, spec: VaeSpec) -> None:
        super().__init__()
        width = spec.block_channels[-1]
        self.res1, self.res2 = (ResBlock(width, width, spec.groups, spec.eps) for _ in range(2))
        self.attn = PixelAttention(width, spec.groups, spec.eps)

    def construct(self, x: Tensor) -> Tensor:
        """(N, C, h, w) -> the same shape."""
        return self.res2(self.attn(self.res1(x)))


class Level(nn.Cell):
    """Residual blocks of one width, then the change to the next level's size."""

    def __init__(
        self, spec: VaeSpec, cin: int, cout: int, blocks: int, downsample: bool, upsample: bool
    ) -> None:
        super().__init__()
        widths = (cin, *(cout,) * blocks)
        self.blocks = nn.CellList(
            [ResBlock(a, cout, spec.groups, spec.eps) for a in widths[:blocks]]
        )
        self.goes_down, self.goes_up = downsample, upsample
        if downsample:
            self.downsample = Downsample(cout, asymmetric=True)
        if upsample:
            self.upsample = Upsample(cout)

    def construct(self, x: Tensor) -> Tensor:
        """(N, cin, H, W) -> (N, cout, H', W')."""
        for block in self.blocks:
            x = block(x)
        if self.goes_down:
            x = self.downsample(x)
        return self.upsample(x) if self.goes_up else x


class Encoder(nn.Cell):
    """Images to the moments of their latents."""

    def __init__(self, spec: VaeSpec) -> None:
        super().__init__()
        last = len(spec.levels) - 1
        self.conv_in = Conv2d(spec.channels, spec.block_channels[0], 3, padding=1)
        self.levels = nn.CellList(
            [Level(spec, *io, spec.layers, i < last, False) for i, io in enumerate(spec.levels)]
        )
        self.mid = Middle(spec)
        self.norm_out = GroupNorm(spec.groups, spec.block_channels[-1], spec.eps, act=True)
        self.conv_out = Conv2d(spec.block_channels[-1], 2 * spec.latent_channels, 3, padding=1)

    def construct(self, x_NCHW: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, 2L, h, w)."""
        x = self.conv_in(x_NCHW)
        for level in self.levels:
            x = level(x)
        return self.conv_out(self.norm_out(self.mid(x)))


class Decoder(nn.Cell):
    """Latents to images."""

    def __init__(self, spec: VaeSpec) -> None:
        super().__init__()
        last, blocks = len(spec.levels) - 1, spec.layers + 1
        self.conv_in = Conv2d(spec.latent_channels, spec.block_channels[-1], 3, padding=1)
        self.mid = Middle(spec)
        self.levels = nn.CellList(
            [Level(spec, *io, blocks, False, i < last) for i, io in enumerate(spec.up_levels)]
        )
        self.norm_out = GroupNorm(spec.groups, spec.block_channels[0], spec.eps, act=True)
        self.conv_out = Conv2d(spec.block_channels[0], spec.channels, 3, padding=1)

    def construct(self, z_NLhw: Tensor) -> Tensor:
        """(N, L, h, w) -> (N, C, H, W)."""
        x = self.mid(self.conv_in(z_NLhw))
        for level in self.levels:
            x = level(x)
        return self.conv_out(self.norm_out(x))


class AutoencoderKL(nn.Cell):
    """The whole autoencoder; construct is what training needs, `Encode` and `Decode` are its two
    halves.

    Latents here are the network's own; the pipelines multiply them by `spec.scaling` on the way to
    a UNet.
    """

    def __init__(self, spec: VaeSpec) -> None:
        super().__init__()
        self.spec = spec
        self.encoder, self.decoder = Encoder(spec), Decoder(spec)
        self.quant_conv = Conv2d(2 * spec.latent_channels, 2 * spec.latent_channels, 1)
        self.post_quant_conv = Conv2d(spec.latent_channels, spec.latent_channels, 1)

    def moments(self, x_NCHW: Tensor) -> tuple[Tensor, Tensor]:
        """(N, C, H, W) in [-1, 1] -> mean and log variance, float32 (N, L, h, w) each."""
        moments = self.quant_conv(self.encoder(x_NCHW)).astype(mstype.float32)
        mean, logvar = ops.chunk(moments, 2, 1)
        return mean, ops.clamp(logvar, -30.0, 20.0)

    def decode(self, z_NLhw: Tensor) -> Tensor:
        """(N, L, h, w) -> float32 (N, C, H, W), about -1 to 1."""
        return self.decoder(self.post_quant_conv(z_NLhw)).astype(mstype.float32)

    def construct(self, x_NCHW: Tensor, noise_NLhw: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Images -> (reconstruction from a latent drawn with `noise`, mean, log variance)."""
        mean, logvar = self.moments(x_NCHW)
        return self.decode(draw(mean, logvar, noise_NLhw)), mean, logvar


class Encode(OwnGraph):
    """The encoding half as a cell of its own; it shares the autoencoder's parameters and leaves
    their names alone.
    """

    def __init__(self, vae: AutoencoderKL) -> None:
        super().__init__(auto_prefix=False)
        self.vae = vae

    def construct(self, x_NCHW: Tensor) -> Tensor:
        """(N, C, H, W) in [-1, 1] -> mean, then log variance, stacked on channels: float32 (N, 2L,
        h, w).
        """
        return ops.concat(self.vae.moments(x_NCHW), 1)


class Decode(OwnGraph):
    """The decoding half as a cell of its own."""

    def __init__(self, vae: AutoencoderKL) -> None:
        super().__init__(auto_prefix=False)
        self.vae = vae

    def construct(self, z_NLhw: Tensor) -> Tensor:
        """(N, L, h, w) -> float32 (N, C, H, W)."""
        return self.vae.decode(z_NLhw)


def draw(mean: Tensor, logvar: Tensor, noise: Tensor) -> Tensor:
    """A sample of the posterior: mean + exp(logvar / 2) noise. With zero noise its mode."""
    return mean + ops.exp(0.5 * logvar) * noise


def kl_divergence(mean: Tensor, logvar: Tensor) -> Tensor:
    """Divergence of each image's posterior from N(0, 1) in nats, (N,) float32."""
    terms = ops.square(mean) + ops.exp(logvar) - 1.0 - logvar
    return 0.5 * terms.reshape((mean.shape[0], -1)).sum(-1)


def build(spec: VaeSpec, dtype: str = "float32") -> AutoencoderKL:
    """The autoencoder; the type of its activations is that of what it is given."""
    return AutoencoderKL(spec)


def encoder_alone(spec: VaeSpec, arrays: Mapping[str, np.ndarray]) -> nn.Cell:
    """The encoding half, only its own parameters in the gradients."""
    return _half(Encode(AutoencoderKL(spec)), ("decoder", "post_quant_conv"))


def decoder_alone(spec: VaeSpec, arrays: Mapping[str, np.ndarray]) -> nn.Cell:
    """The decoding half, only its own parameters in the gradients."""
    return _half(Decode(AutoencoderKL(spec)), ("encoder", "quant_conv"))


def _half(cell: nn.Cell, other: tuple[str, ...]) -> nn.Cell:
    for parameter in cell.get_parameters():
        parameter.requires_grad = parameter.name.split(".")[0] not in other
    return cell
