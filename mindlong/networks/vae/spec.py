"""AutoencoderKL, the image autoencoder of Stable Diffusion, as a spec.

One network for SD 1.x/2.x, ModelScope text-to-video and VideoCrafter2; only the names in their
files differ (`mindlong.networks.vae.names`).
"""

from __future__ import annotations

from dataclasses import dataclass

from mindlong.utils.errors import ConfigError


class Levelled:
    """An autoencoder's spec, of which `block_channels` are the widths of its levels."""

    block_channels: tuple[int, ...]

    @property
    def levels(self) -> list[tuple[int, int]]:
        """(channels in, channels out) of each encoder level."""
        return _in_and_out(self.block_channels)

    @property
    def up_levels(self) -> list[tuple[int, int]]:
        """(channels in, channels out) of each decoder level, from the smallest image to the
        largest.
        """
        return _in_and_out(self.block_channels[::-1])


def _in_and_out(widths: tuple[int, ...]) -> list[tuple[int, int]]:
    return list(zip((widths[0], *widths), widths, strict=False))


@dataclass(frozen=True)
class VaeSpec(Levelled):
    """What the autoencoder is made of.

    Attributes:
        channels: channels of an image.
        latent_channels: channels of a latent.
        block_channels: channels of each level; every level but the last halves height and width.
        layers: residual blocks of an encoder level (a decoder level has one more).
        groups: groups of every GroupNorm.
        eps: of every GroupNorm.
        scaling: latents are multiplied by it before the UNet sees them, to have a deviation near 1.
        float32: layers that stay in float32 in half precision, with all below them.

    Raises:
        ConfigError: a field out of its range.
    """

    channels: int = 3
    latent_channels: int = 4
    block_channels: tuple[int, ...] = (128, 256, 512, 512)
    layers: int = 2
    groups: int = 32
    eps: float = 1e-6
    scaling: float = 0.18215
    float32: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "block_channels", tuple(self.block_channels))
        object.__setattr__(self, "float32", tuple(self.float32))
        if not self.block_channels or self.layers < 1:
            raise ConfigError(
                "The autoencoder needs at least one level in block_channels, and layers of at least 1."
            )
        for width in self.block_channels:
            if width % self.groups:
                raise ConfigError(
                    f"block_channels holds {width}; each must be a multiple of groups ({self.groups})."
                )

    @property
    def factor(self) -> int:
        """Pixels per latent along an edge."""
        return 2 ** (len(self.block_channels) - 1)

    def latents_of(self, frames: int) -> int:
        """How many latents a video of `frames` images becomes: one each."""
        return frames

    def frames_of(self, latents: int) -> int:
        """How many images `latents` latents become."""
        return latents
