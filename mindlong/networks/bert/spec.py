"""BERT's encoder as a spec (arXiv 1810.04805); BERT-base, BERT-large and MiniLM are sizes of it."""

from __future__ import annotations

from dataclasses import dataclass, replace

from mindlong.networks.transformer_checks import check_transformer
from mindlong.utils.errors import ConfigError

ACTIVATIONS = ("gelu", "gelu_new")  # exact, and with tanh


@dataclass(frozen=True)
class BertSpec:
    """What the encoder is made of; the defaults are bert-base-cased's.

    Attributes:
        vocabulary: number of tokens.
        width: channels of a token; a multiple of `heads`.
        layers, heads: of the transformer.
        hidden: channels inside the feed-forward.
        positions: places that it knows.
        types: kinds of segment that it knows; all tokens here are of the first.
        length: tokens of a prompt where many are run at one shape, start and end included; at most
            `positions`.
        activation: "gelu" (exact) or "gelu_new" (with tanh).
        eps: of every LayerNorm.
        pad_id: the token that fills a prompt up to `length`; it is read by no other.

    Raises:
        ConfigError: a field out of its range.
    """

    vocabulary: int = 28996
    width: int = 768
    layers: int = 12
    heads: int = 12
    hidden: int = 3072
    positions: int = 512
    types: int = 2
    length: int = 64
    activation: str = "gelu"
    eps: float = 1e-12
    pad_id: int = 0

    def __post_init__(self) -> None:
        check_transformer(self.width, self.heads, self.activation, ACTIVATIONS)
        if not 3 <= self.length <= self.positions:
            raise ConfigError(
                f"length is {self.length}; it must be from 3 to positions ({self.positions})."
            )


BASE_CASED = BertSpec()
BASE_UNCASED = replace(BASE_CASED, vocabulary=30522)
LARGE_CASED = replace(BASE_CASED, width=1024, layers=24, heads=16, hidden=4096)
MINILM_L6 = replace(BASE_UNCASED, width=384, layers=6, hidden=1536)
