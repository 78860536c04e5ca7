"""The `model` section of CogVideoX's transformer."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from mindlong.networks.cogvideox.spec import PLACES, CogVideoXSpec
from mindlong.networks.keys import problems_of_spec, spec_of
from mindlong.networks.unet.keys import latents_missing
from mindlong.utils.option import option

FAMILY = "cogvideox"


@dataclass
class CogVideoXModel:
    """CogVideoX-2B's transformer; the defaults are the published sizes."""

    family: str = option(FAMILY, "which network", choices=(FAMILY,))
    heads: int = option(30, "attention heads", minimum=1)
    head_dim: int = option(64, "width of a head", minimum=1)
    layers: int = option(30, "blocks", minimum=1)
    in_channels: int = option(
        16, "channels of the input: 16 latents; 33 with mask and known latents", minimum=1
    )
    out_channels: int = option(16, "channels of a latent", minimum=1)
    patch: int = option(2, "latent pixels of a token's side", minimum=1)
    time_dim: int = option(512, "width of the embedded timestep", minimum=1)
    context_dim: int = option(4096, "width of the prompt's vectors", minimum=1)
    tokens: int = option(226, "tokens of a prompt", minimum=1)
    sample: list[int] = option(
        [13, 60, 90], "latent frames, rows and columns that it was trained at", minimum=1
    )
    places: str = option(
        "sines",
        "sines: the table of places is made for each size; resized: that of sample is resized (Fun)",
        choices=PLACES,
    )
    spatial_scale: float = option(1.875, "places of rows and columns are divided by it")
    temporal_scale: float = option(1.0, "places of frames are divided by it")
    eps: float = option(1e-5, "of the LayerNorms, but those of queries and keys", minimum=0)
    float32: list[str] = option(
        [],
        "layers that stay in float32 in half precision, by their names or patterns "
        "(tools/fp16_audit.py finds those whose numbers leave the range of halves)",
    )

    def spec(self) -> CogVideoXSpec:
        """The network's frozen spec."""
        return spec_of(self, CogVideoXSpec)

    def training_problems(self, config: Any) -> Iterator[str]:
        """Sentences on what a training configuration with this model gets wrong."""
        yield from latents_missing(self.family, config)
        for word, wanted in (
            ("interpolation", config.interpolation.wanted),
            ("infinet.lengths", config.infinet.lengths),
            ("tune.video", config.tune.wanted),
        ):
            if wanted:
                yield f"{word} is given; the family {self.family} is trained as a whole, on clips and captions"

    def problems(self) -> Iterator[str]:
        """Sentences on fields that do not fit together."""
        yield from problems_of_spec(self)
