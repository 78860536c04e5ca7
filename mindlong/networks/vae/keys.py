"""The `model` section of an autoencoder."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from mindlong.networks.keys import problems_of_spec, spec_of
from mindlong.networks.vae.spec import Levelled, VaeSpec
from mindlong.utils.option import option

FAMILY = "autoencoder_kl"


@dataclass
class AutoencoderModel:
    """AutoencoderKL, the first stage of the latent families."""

    family: str = option(FAMILY, "which network", choices=(FAMILY,))
    channels: int = option(3, "channels of an image", minimum=1)
    latent_channels: int = option(4, "channels of a latent", minimum=1)
    block_channels: list[int] = option(
        [128, 256, 512, 512], "channels of each level; all but the last halve the size", minimum=1
    )
    layers: int = option(
        2, "residual blocks of an encoder level; a decoder level has one more", minimum=1
    )
    groups: int = option(32, "groups of every GroupNorm", minimum=1)
    eps: float = option(1e-6, "of every GroupNorm", minimum=0)
    scaling: float = option(
        0.18215, "latents are multiplied by it on the way to a UNet, to have a deviation near 1"
    )
    float32: list[str] = option(
        [],
        "layers that stay in float32 in half precision, by their names or patterns "
        "(tools/fp16_audit.py finds those whose numbers leave the range of halves)",
    )

    def spec(self) -> Levelled:
        """The network's frozen spec."""
        return spec_of(self, VaeSpec)

    def training_problems(self, config: Any) -> Iterator[str]:
        """Sentences on what a training configuration with this model gets wrong."""
        step, size = 2 ** (len(self.block_channels) - 1), config.data.size
        if size[0] % step or size[1] % step:
            yield f"data.size is {size}; both must be multiples of {step}, the pixels of a latent"

    def problems(self) -> Iterator[str]:
        """Sentences on fields that do not fit together."""
        yield from problems_of_spec(self)
