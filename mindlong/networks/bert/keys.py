"""The `model` section of BERT's encoder."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from mindlong.networks.bert.spec import ACTIVATIONS, BertSpec
from mindlong.networks.keys import problems_of_spec, spec_of
from mindlong.utils.option import option

FAMILY = "bert"


@dataclass
class BertModel:
    """BERT's encoder, which reads captions and prompts."""

    family: str = option(FAMILY, "which network", choices=(FAMILY,))
    vocabulary: int = option(28996, "number of tokens", minimum=1)
    width: int = option(768, "channels of a token; a multiple of heads", minimum=1)
    layers: int = option(12, "transformer layers", minimum=1)
    heads: int = option(12, "attention heads", minimum=1)
    hidden: int = option(3072, "channels inside the feed-forward", minimum=1)
    positions: int = option(512, "places that it knows", minimum=3)
    types: int = option(2, "kinds of segment that it knows", minimum=1)
    length: int = option(
        64, "tokens of a prompt of a latent network, start and end included", minimum=3
    )
    activation: str = option("gelu", "gelu: exact; gelu_new: with tanh", choices=ACTIVATIONS)
    eps: float = option(1e-12, "of every LayerNorm", minimum=0)
    pad_id: int = option(0, "the token that fills a prompt up to length", minimum=0)

    def spec(self) -> BertSpec:
        """The network's frozen spec."""
        return spec_of(self, BertSpec)

    def training_problems(self, config: Any) -> Iterator[str]:
        """A text encoder is trained with the network that it serves, never alone."""
        yield "model.family is bert; a text encoder serves a network (latents.text_weights, model.text.weights)"

    def problems(self) -> Iterator[str]:
        """Sentences on fields that do not fit together."""
        yield from problems_of_spec(self)
