"""The `model` section of CogVideoX's autoencoder."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from mindlong.networks.cogvideox_vae.spec import VideoVaeSpec
from mindlong.networks.keys import problems_of_spec, spec_of
from mindlong.utils.option import option

FAMILY = "cogvideox_vae"


@dataclass
class VideoVaeModel:
    """CogVideoX's causal autoencoder of videos; the defaults are the published sizes."""

    family: str = option(FAMILY, "which network", choices=(FAMILY,))
    channels: int = option(3, "channels of an image", minimum=1)
    latent_channels: int = option(16, "channels of a latent", minimum=1)
    block_channels: list[int] = option(
        [128, 256, 256, 512], "channels of each level; all but the last halve the size", minimum=1
    )
    layers: int = option(
        3, "residual blocks of an encoder level; a decoder level has one more", minimum=1
    )
    groups: int = option(32, "groups of every GroupNorm", minimum=1)
    eps: float = option(1e-6, "of every GroupNorm")
    time: int = option(4, "images of a latent; a power of two", minimum=1)
    scaling: float = option(
        1.15258426,
        "latents are multiplied by it on the way to the network, to have a deviation near 1",
    )
    float32: list[str] = option(
        [],
        "layers that stay in float32 in half precision, by their names or patterns "
        "(tools/fp16_audit.py finds those whose numbers leave the range of halves)",
    )

    def spec(self) -> VideoVaeSpec:
        """The network's frozen spec."""
        return spec_of(self, VideoVaeSpec)

    def training_problems(self, config: Any) -> Iterator[str]:
        """It is not trained here."""
        yield f"model.family is {FAMILY}; this autoencoder is not trained here, only run"

    def problems(self) -> Iterator[str]:
        """Sentences on fields that do not fit together."""
        yield from problems_of_spec(self)
