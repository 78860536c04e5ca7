"""The `model` sections of CLIP's encoders."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from mindlong.networks.clip.text_spec import ACTIVATIONS, ClipTextSpec
from mindlong.networks.clip.vision_spec import DEVIATION, MEAN, ClipVisionSpec
from mindlong.networks.keys import problems_of_spec, spec_of
from mindlong.utils.option import option

TEXT, VISION = "clip_text", "clip_vision"


@dataclass
class ClipTextModel:
    """The text encoder of CLIP or OpenCLIP, which reads the prompts of the latent families."""

    family: str = option(TEXT, "which network", choices=(TEXT,))
    vocabulary: int = option(49408, "number of tokens", minimum=1)
    width: int = option(768, "channels of a token; a multiple of heads", minimum=1)
    layers: int = option(12, "transformer layers that the file holds", minimum=1)
    skip_last: int = option(
        0,
        "1 leaves the last layer unused (OpenCLIP's penultimate, for files with all 24)",
        minimum=0,
    )
    heads: int = option(12, "attention heads", minimum=1)
    hidden: int = option(3072, "channels inside the feed-forward", minimum=1)
    length: int = option(77, "tokens of a prompt, start and end included", minimum=2)
    activation: str = option(
        "quick_gelu", "quick_gelu: OpenAI's weights; gelu: OpenCLIP's", choices=ACTIVATIONS
    )
    eps: float = option(1e-5, "of every LayerNorm", minimum=0)
    pad_id: int = option(
        49407, "the token that fills a prompt up to length; it differs by family", minimum=0
    )

    def spec(self) -> ClipTextSpec:
        """The network's frozen spec."""
        return spec_of(self, ClipTextSpec)

    def training_problems(self, config: Any) -> Iterator[str]:
        """A text encoder is trained with the network that it serves, never alone."""
        yield "model.family is clip_text; a text encoder is trained beside its UNet (latents.text_encoder)"

    def problems(self) -> Iterator[str]:
        """Sentences on fields that do not fit together."""
        yield from problems_of_spec(self)


@dataclass
class ClipVisionModel:
    """The image encoder of CLIP or OpenCLIP with the projections of both encoders."""

    family: str = option(VISION, "which network", choices=(VISION,))
    size: int = option(224, "pixels of a side of the image; a multiple of patch", minimum=1)
    patch: int = option(32, "pixels of a side of a patch", minimum=1)
    width: int = option(768, "channels of a token; a multiple of heads", minimum=1)
    layers: int = option(12, "transformer layers", minimum=1)
    heads: int = option(12, "attention heads", minimum=1)
    hidden: int = option(3072, "channels inside the feed-forward", minimum=1)
    projection: int = option(512, "numbers in the embedding of images and texts", minimum=1)
    text_width: int = option(512, "channels of the text encoder beside it", minimum=1)
    activation: str = option(
        "quick_gelu", "quick_gelu: OpenAI's weights; gelu: OpenCLIP's", choices=ACTIVATIONS
    )
    eps: float = option(1e-5, "of every LayerNorm", minimum=0)
    mean: list[float] = option(list(MEAN), "of images in [0, 1]: red, green, blue")
    deviation: list[float] = option(list(DEVIATION), "of images in [0, 1]: red, green, blue")

    def spec(self) -> ClipVisionSpec:
        """The network's frozen spec."""
        return spec_of(self, ClipVisionSpec)

    def training_problems(self, config: Any) -> Iterator[str]:
        """An image encoder is not trained here."""
        yield "model.family is clip_vision; an image encoder is not trained"

    def problems(self) -> Iterator[str]:
        """Sentences on fields that do not fit together."""
        yield from problems_of_spec(self)
