"""CogVideoX's autoencoder as a spec: causal in time, 8 pixels and 4 images to a latent (the first
image of a video has one of its own).

A video goes through in chunks: of 8 images or 2 latents, the first with what is left over. That is
part of the model, not a matter of memory: norms take their statistics over a chunk.
"""

from __future__ import annotations

from dataclasses import dataclass

from mindlong.networks.vae.spec import Levelled
from mindlong.utils.errors import ConfigError

IMAGES, LATENTS = 8, 2  # of a chunk, in and out


@dataclass(frozen=True)
class VideoVaeSpec(Levelled):
    """What the autoencoder is made of.

    Attributes:
        channels: of an image.
        latent_channels: of a latent.
        block_channels: of each level; every level but the last halves height and width.
        layers: residual blocks of an encoder level (a decoder level has one more).
        groups: of every GroupNorm.
        eps: of every GroupNorm.
        time: images of a latent, a power of two: so many levels halve the number of frames.
        scaling: latents are multiplied by it before the network sees them.
        float32: layers that stay in float32 in half precision, with all below them.

    Raises:
        ConfigError: a field out of its range.
    """

    channels: int = 3
    latent_channels: int = 16
    block_channels: tuple[int, ...] = (128, 256, 256, 512)
    layers: int = 3
    groups: int = 32
    eps: float = 1e-6
    time: int = 4
    scaling: float = 1.15258426
    float32: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "block_channels", tuple(self.block_channels))
        object.__setattr__(self, "float32", tuple(self.float32))
        for width in self.block_channels:
            if width % self.groups:
                raise ConfigError(
                    f"block_channels holds {width}; each must be a multiple of groups ({self.groups})."
                )
        if (
            self.time < 1
            or self.time & (self.time - 1)
            or self.halvings >= len(self.block_channels)
        ):
            raise ConfigError(
                f"time is {self.time}; it must be a power of two, of at most {len(self.block_channels) - 1} "
                "halvings, one for each level but the last."
            )

    @property
    def factor(self) -> int:
        """Pixels per latent along an edge."""
        return 2 ** (len(self.block_channels) - 1)

    @property
    def halvings(self) -> int:
        """Levels that halve the number of frames."""
        return self.time.bit_length() - 1

    def latents_of(self, frames: int) -> int:
        """How many latents a video of `frames` images becomes.

        Raises:
            ConfigError: a length that does not come back the same.
        """
        step = self.time * LATENTS
        if frames < 1 or (frames - 1) % step:
            below = max(frames - 1, 0) // step * step + 1
            raise ConfigError(
                f"frames is {frames}; the autoencoder of this network takes {step}N + 1 (1, {step + 1}, "
                f"{2 * step + 1}, ...), nearest are {below} and {below + step}"
            )
        return (frames - 1) // self.time + 1

    def frames_of(self, latents: int) -> int:
        """How many images `latents` latents become. Raises ConfigError where it is even."""
        if latents % LATENTS != 1:
            raise ConfigError(
                f"{latents} latents are no video of this network's autoencoder; their number is odd"
            )
        return (latents - 1) * self.time + 1


def chunks(count: int, size: int) -> list[int]:
    """How many of `count` images or latents each chunk holds: `size` each, the first with the rest.

    As published: 1, 2 and 3 latents are one chunk, 13 are 3 and five times 2.
    """
    number = max(count // size, 1)
    return [count - size * (number - 1), *[size] * (number - 1)]
