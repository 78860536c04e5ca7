"""The `model` section of the Resampler."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from mindlong.networks.keys import problems_of_spec, spec_of
from mindlong.networks.resampler.spec import ResamplerSpec
from mindlong.utils.option import option

FAMILY = "resampler"


@dataclass
class ResamplerModel:
    """The Resampler, which makes of an image what a network of videos reads behind the prompt."""

    family: str = option(FAMILY, "which network", choices=(FAMILY,))
    tokens: int = option(
        256,
        "tokens that it gives: 16 for each of 16 frames (videocrafter1_i2v: 16 for all)",
        minimum=1,
    )
    width: int = option(1024, "channels of a query", minimum=1)
    layers: int = option(4, "layers of attention and feed-forward", minimum=1)
    heads: int = option(12, "attention heads", minimum=1)
    head_dim: int = option(64, "width of an attention head", minimum=1)
    hidden: int = option(4096, "channels inside a feed-forward", minimum=1)
    reads: int = option(1280, "width of the image encoder's tokens", minimum=1)
    gives: int = option(1024, "width of its tokens, as of a prompt's vectors", minimum=1)
    eps: float = option(1e-5, "of every LayerNorm", minimum=0)

    def spec(self) -> ResamplerSpec:
        """The network's frozen spec."""
        return spec_of(self, ResamplerSpec)

    def training_problems(self, config: Any) -> Iterator[str]:
        """It is trained with the network that it serves, never alone."""
        yield "model.family is resampler; it is trained beside the network that reads its tokens"

    def problems(self) -> Iterator[str]:
        """Sentences on fields that do not fit together."""
        yield from problems_of_spec(self)
