"""The `model` section of T5's encoder."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from mindlong.networks.keys import problems_of_spec, spec_of
from mindlong.networks.t5.spec import T5Spec
from mindlong.utils.option import option

FAMILY = "t5"


@dataclass
class T5Model:
    """T5's encoder (version 1.1); the defaults are XXL beside CogVideoX."""

    family: str = option(FAMILY, "which network", choices=(FAMILY,))
    vocabulary: int = option(32128, "number of tokens", minimum=1)
    width: int = option(4096, "channels of a token", minimum=1)
    layers: int = option(24, "transformer layers", minimum=1)
    heads: int = option(64, "attention heads", minimum=1)
    head_dim: int = option(64, "width of a head", minimum=1)
    hidden: int = option(10240, "channels inside the gated feed-forward", minimum=1)
    buckets: int = option(32, "buckets of distances between tokens; a multiple of 4", minimum=4)
    distance: int = option(128, "from which on all distances are alike", minimum=2)
    eps: float = option(1e-6, "of every norm", minimum=0)
    length: int = option(226, "tokens of a prompt, the end included", minimum=2)
    pad_id: int = option(0, "the token that fills a prompt up to length", minimum=0)

    def spec(self) -> T5Spec:
        """The network's frozen spec."""
        return spec_of(self, T5Spec)

    def training_problems(self, config: Any) -> Iterator[str]:
        """A text encoder is trained with the network that it serves, never alone."""
        yield f"model.family is {FAMILY}; a text encoder serves a network (latents.text_weights)"

    def problems(self) -> Iterator[str]:
        """Sentences on fields that do not fit together."""
        yield from problems_of_spec(self)
