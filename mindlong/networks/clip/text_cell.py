"""The text encoder of CLIP and OpenCLIP: token ids to one vector a token (arXiv 2103.00020); names
in networks/clip/text_names.py.

Legend: B prompts, S tokens of a prompt, D channels, N heads.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from mindspore import Parameter, Tensor, nn, ops

from mindlong.ops.activation import GELU
from mindlong.ops.attention import Attention
from mindlong.ops.embedding import Embedding
from mindlong.ops.layout import Exchange
from mindlong.ops.linear import Linear
from mindlong.ops.norm import LayerNorm
from mindlong.ops.own_graph import OwnGraph

if TYPE_CHECKING:
    from mindlong.networks.clip.text_spec import ClipTextSpec


class QuickGELU(nn.Cell):
    """x sigmoid(1.702 x), the activation that OpenAI's weights were trained with."""

    def construct(self, x: Tensor) -> Tensor:
        """Any shape."""
        return x * ops.sigmoid(1.702 * x)


class CausalAttention(nn.Cell):
    """Each token attends to itself and the tokens before it."""

    def __init__(self, width: int, heads: int, length: int) -> None:
        super().__init__()
        self.to_q, self.to_k, self.to_v, self.to_out = (Linear(width, width) for _ in range(4))
        self.heads, self.attend = heads, Attention(heads, (width // heads) ** -0.5)
        self.exchange = Exchange()
        # a finite number, safe in fp16 too: its exponential is zero
        self.mask = Tensor(np.triu(np.full((length, length), -6e4, np.float32), 1)[None, None])

    def _split(self, x_BSD: Tensor) -> Tensor:
        batch, length, _ = x_BSD.shape
        return self.exchange(x_BSD.reshape((batch, length, self.heads, -1)))

    def construct(self, x_BSD: Tensor) -> Tensor:
        """(B, S, D) -> (B, S, D)."""
        q, k, v = (
            self._split(self.to_q(x_BSD)),
            self._split(self.to_k(x_BSD)),
            self._split(self.to_v(x_BSD)),
        )
        mixed = self.attend(q, k, v, self.mask)
        return self.to_out(self.exchange(mixed).reshape(x_BSD.shape))


class Layer(nn.Cell):
    """Attention and feed-forward, each behind a LayerNorm and beside a skip."""

    def __init__(self, spec: ClipTextSpec) -> None:
        super().__init__()
        self.norm1, self.norm2 = LayerNorm(spec.width, spec.eps), LayerNorm(spec.width, spec.eps)
        self.attn = CausalAttention(spec.width, spec.heads, spec.length)
        self.fc1, self.fc2 = Linear(spec.width, spec.hidden), Linear(spec.hidden, spec.width)
        self.act = QuickGELU() if spec.activation == "quick_gelu" else GELU()

    def construct(self, x: Tensor) -> Tensor:
        """(B, S, D) -> (B, S, D)."""
        x = x + self.attn(self.norm1(x))
        return x + self.fc2(self.act(self.fc1(self.norm2(x))))


class TextEncoder(OwnGraph):
    """Token ids to hidden states after the last used layer and the final norm.

    That is `last_hidden_state` of a CLIPTextModel, and OpenCLIP's penultimate state for `skip_last`
    1 or a network that holds one layer less. There is no pooled output: none of the families uses
    it.
    """

    def __init__(self, spec: ClipTextSpec) -> None:
        super().__init__()
        self.spec = spec
        self.token_embedding = Embedding(spec.vocabulary, spec.width)
        self.position_embedding = Parameter(ops.zeros((spec.length, spec.width)))
        self.layers = nn.CellList([Layer(spec) for _ in range(spec.layers)])
        self.used = spec.layers - spec.skip_last
        self.final_norm = LayerNorm(spec.width, spec.eps)

    def init_weights(self, draw) -> None:
        """Positions start as N(0, 0.01), as in CLIP."""
        shape = self.position_embedding.shape
        self.position_embedding.set_data(
            Tensor(draw("position_embedding").standard_normal(shape, "float32") * 0.01)
        )

    def construct(self, ids_BS: Tensor) -> Tensor:
        """int32 (B, S), S = spec.length -> float32 (B, S, D)."""
        x = self.token_embedding(ids_BS) + self.position_embedding
        for i in range(self.used):
            x = self.layers[i](x)
        return self.final_norm(x)


def build(spec: ClipTextSpec, dtype: str = "float32") -> TextEncoder:
    """The text encoder; it computes in float32 whatever the network beside it does."""
    return TextEncoder(spec)


def alone(spec: ClipTextSpec, arrays: Mapping[str, np.ndarray]) -> TextEncoder:
    """The text encoder, to be run alone."""
    return TextEncoder(spec)
