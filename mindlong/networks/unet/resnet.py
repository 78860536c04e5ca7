"""The residual block and the resampling of the Stable Diffusion lineage, on images or folded
frames.

Legend: R rows (images, or batch times frames), C channels, H W pixels, E width of the time
embedding. `parts` says whether norms and convolutions see other frames
(mindlong.networks.unet.rows); for images it and `frames` are left out.
"""

from __future__ import annotations

from mindspore import Tensor, nn, ops

from mindlong.networks.unet.rows import IMAGES, Parts
from mindlong.ops.conv import UpsampleNearest
from mindlong.ops.layout import AddChannels
from mindlong.ops.linear import Linear


class ResBlock(nn.Cell):
    """GroupNorm, SiLU, 3 x 3 convolution, twice, beside a skip; with `emb` the time embedding is
    added in between.
    """

    def __init__(
        self,
        cin: int,
        cout: int,
        groups: int = 32,
        eps: float = 1e-5,
        emb: int | None = None,
        parts: Parts = IMAGES,
    ) -> None:
        super().__init__()
        self.timed, self.widens = emb is not None, cin != cout
        self.norm1 = parts.norm(groups, cin, eps, act=True)
        self.conv1 = parts.conv(cin, cout, 3, padding=1)
        if self.timed:
            self.time_proj, self.add = Linear(emb, cout), AddChannels()
        self.norm2 = parts.norm(groups, cout, eps, act=True)
        self.conv2 = parts.conv(cout, cout, 3, padding=1)
        if self.widens:
            self.skip = parts.conv(cin, cout, 1)

    def construct(self, x_RCHW: Tensor, emb_RE: Tensor | None = None, frames: int = 1) -> Tensor:
        """(R, cin, H, W) -> (R, cout, H, W); `emb_RE` has been through SiLU already."""
        h = self.conv1(self.norm1(x_RCHW, frames), frames)
        if self.timed:
            h = self.add(h, self.time_proj(emb_RE))
        h = self.conv2(self.norm2(h, frames), frames)
        return h + (self.skip(x_RCHW, frames) if self.widens else x_RCHW)


class Downsample(nn.Cell):
    """Half the height and width by a 3 x 3 convolution of stride 2.

    `asymmetric` pads one zero on the right and below only, as the autoencoder does; else one on
    each side, as UNets.
    """

    def __init__(self, channels: int, asymmetric: bool = False, parts: Parts = IMAGES) -> None:
        super().__init__()
        self.asymmetric = asymmetric
        self.conv = parts.conv(channels, channels, 3, stride=2, padding=0 if asymmetric else 1)

    def construct(self, x_RCHW: Tensor, frames: int = 1) -> Tensor:
        """(R, C, H, W) -> (R, C, H', W'), H' = H / 2 rounded down if `asymmetric`, else up."""
        return self.conv(_pad_right_below(x_RCHW) if self.asymmetric else x_RCHW, frames)


class Upsample(nn.Cell):
    """Double height and width, or take them to an explicit size, by nearest neighbour; then a 3 x 3
    convolution.
    """

    def __init__(self, channels: int, parts: Parts = IMAGES) -> None:
        super().__init__()
        self.conv, self.to_size = parts.conv(channels, channels, 3, padding=1), UpsampleNearest()

    def construct(
        self, x_RCHW: Tensor, size: tuple[int, int] | None = None, frames: int = 1
    ) -> Tensor:
        """(R, C, H, W) -> (R, C, 2H, 2W) or (R, C, *size)."""
        return self.conv(
            self.to_size.doubled(x_RCHW) if size is None else self.to_size(x_RCHW, size), frames
        )


def _pad_right_below(x: Tensor) -> Tensor:
    """One column and one row of zeros; a concat, because the gradient of pad is wrong on the
    CPU.
    """
    rows, channels, height, width = x.shape
    x = ops.concat((x, ops.zeros((rows, channels, height, 1), x.dtype)), 3)
    return ops.concat((x, ops.zeros((rows, channels, 1, width + 1), x.dtype)), 2)
