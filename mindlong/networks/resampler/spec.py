"""The Resampler as a spec (IP-Adapter's, arXiv 2308.06721, as DynamiCrafter has it, with queries
for each frame); VideoCrafter1's has 16 queries, whose tokens all frames read.
"""

from __future__ import annotations

from dataclasses import dataclass

from mindlong.utils.errors import ConfigError


@dataclass(frozen=True)
class ResamplerSpec:
    """What the network is made of; the defaults are DynamiCrafter's.

    Attributes:
        tokens: queries, and so tokens that it gives: 16 for each of 16 frames.
        width: channels of a query.
        layers: of attention and feed-forward.
        heads, head_dim: of the attentions; their product need not be `width`.
        hidden: channels inside a feed-forward.
        reads: width of the image encoder's tokens.
        gives: width of its own tokens, that of a prompt's vectors.
        eps: of every LayerNorm.

    Raises:
        ConfigError: a field out of its range.
    """

    tokens: int = 256
    width: int = 1024
    layers: int = 4
    heads: int = 12
    head_dim: int = 64
    hidden: int = 4096
    reads: int = 1280
    gives: int = 1024
    eps: float = 1e-5

    def __post_init__(self) -> None:
        for name in ("tokens", "width", "layers", "heads", "head_dim", "hidden", "reads", "gives"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)}; it must be at least 1.")

    @property
    def inner(self) -> int:
        """Channels of all heads."""
        return self.heads * self.head_dim
