"""The `model` section of CogVideoX's autoencoder."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from mindlong.networks.cogvideox_vae.spec import VideoVaeSpec
from mindlong.networks.keys import spec_of
from mindlong.networks.vae.keys import AutoencoderModel
from mindlong.utils.option import option

FAMILY = "cogvideox_vae"


@dataclass
class VideoVaeModel(AutoencoderModel):
    """CogVideoX's causal autoencoder of videos: the keys of one of images, with other published
    sizes, and how many images a latent is of.
    """

    family: str = option(FAMILY, "which network", choices=(FAMILY,))
    latent_channels: int = option(16, "channels of a latent", minimum=1)
    block_channels: list[int] = option(
        [128, 256, 256, 512], "channels of each level; all but the last halve the size", minimum=1
    )
    layers: int = option(
        3, "residual blocks of an encoder level; a decoder level has one more", minimum=1
    )
    scaling: float = option(
        1.15258426,
        "latents are multiplied by it on the way to the network, to have a deviation near 1",
    )
    time: int = option(4, "images of a latent; a power of two", minimum=1)

    def spec(self) -> VideoVaeSpec:
        """The network's frozen spec."""
        return spec_of(self, VideoVaeSpec)

    def training_problems(self, config: Any) -> Iterator[str]:
        """It is not trained here."""
        yield f"model.family is {FAMILY}; this autoencoder is not trained here, only run"
