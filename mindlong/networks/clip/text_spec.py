"""The text encoders of CLIP (ViT-L/14) and OpenCLIP (ViT-H/14) as a spec."""

from __future__ import annotations

from dataclasses import dataclass, replace

from mindlong.networks.transformer_checks import check_transformer
from mindlong.utils.errors import ConfigError

ACTIVATIONS = ("quick_gelu", "gelu")


@dataclass(frozen=True)
class ClipTextSpec:
    """What the text encoder is made of.

    Attributes:
        vocabulary: number of tokens.
        width: channels of a token; a multiple of `heads`.
        layers: transformer layers that the network holds.
        skip_last: 1 leaves the last layer unused: what OpenCLIP calls penultimate, for files that
            carry all 24 layers. The usual 23-layer form of the same network holds 23 layers and
            skips none.
        heads: attention heads.
        hidden: channels inside the feed-forward.
        length: tokens of a prompt, start and end included.
        activation: "quick_gelu" (x sigmoid(1.702 x), OpenAI's weights) or "gelu" (exact,
            OpenCLIP's).
        eps: of every LayerNorm.
        pad_id: the token that fills a prompt up to `length`; it differs by family and is part of
            the condition.

    Raises:
        ConfigError: a field out of its range.
    """

    vocabulary: int = 49408
    width: int = 768
    layers: int = 12
    skip_last: int = 0
    heads: int = 12
    hidden: int = 3072
    length: int = 77
    activation: str = "quick_gelu"
    eps: float = 1e-5
    pad_id: int = 49407

    def __post_init__(self) -> None:
        check_transformer(self.width, self.heads, self.activation, ACTIVATIONS)
        if not 0 <= self.skip_last < self.layers:
            raise ConfigError(
                f"skip_last is {self.skip_last}; it must be at least 0 and below layers ({self.layers})."
            )


VIT_L = ClipTextSpec()
VIT_H = ClipTextSpec(width=1024, layers=23, heads=16, hidden=4096, activation="gelu", pad_id=0)
VIT_H_ALL_LAYERS = replace(VIT_H, layers=24, skip_last=1)
