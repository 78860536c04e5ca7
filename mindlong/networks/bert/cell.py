"""BERT's encoder: token ids to one vector a token, or one a prompt (arXiv 1810.04805); names in
networks/bert/names.py.

Legend: B prompts, S tokens of a prompt, D channels, N heads.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from mindspore import Parameter, Tensor, nn, ops
from mindspore import dtype as mstype

from mindlong.ops.activation import GELU, TanhGELU
from mindlong.ops.attention import Attention
from mindlong.ops.embedding import Embedding
from mindlong.ops.layout import Exchange
from mindlong.ops.linear import Linear
from mindlong.ops.norm import LayerNorm
from mindlong.utils.errors import ConfigError

if TYPE_CHECKING:
    from mindlong.networks.bert.spec import BertSpec

UNREAD = -6e4  # score of padding: finite, safe in fp16 too; its exponential is zero
FEW = 1e-8  # in the mean over tokens, as the original has it
POOLINGS = ("mean", "cls")


class SelfAttention(nn.Cell):
    """Each token attends to all but padding."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.to_q, self.to_k, self.to_v, self.to_out = (Linear(width, width) for _ in range(4))
        self.heads, self.attend = heads, Attention(heads, (width // heads) ** -0.5)
        self.exchange = Exchange()

    def _split(self, x_BSD: Tensor) -> Tensor:
        batch, length, _ = x_BSD.shape
        return self.exchange(x_BSD.reshape((batch, length, self.heads, -1)))

    def construct(self, x_BSD: Tensor, mask_B1SS: Tensor) -> Tensor:
        """(B, S, D) -> (B, S, D); the mask is added to the scores."""
        q, k, v = (
            self._split(self.to_q(x_BSD)),
            self._split(self.to_k(x_BSD)),
            self._split(self.to_v(x_BSD)),
        )
        mixed = self.attend(q, k, v, mask_B1SS)
        return self.to_out(self.exchange(mixed).reshape(x_BSD.shape))


class Layer(nn.Cell):
    """Attention and feed-forward, each beside a skip, the LayerNorm behind the sum."""

    def __init__(self, spec: BertSpec) -> None:
        super().__init__()
        self.attn = SelfAttention(spec.width, spec.heads)
        self.norm1, self.norm2 = LayerNorm(spec.width, spec.eps), LayerNorm(spec.width, spec.eps)
        self.fc1, self.fc2 = Linear(spec.width, spec.hidden), Linear(spec.hidden, spec.width)
        self.act = GELU() if spec.activation == "gelu" else TanhGELU()

    def construct(self, x: Tensor, mask_B1SS: Tensor) -> Tensor:
        """(B, S, D) -> (B, S, D)."""
        x = self.norm1(x + self.attn(x, mask_B1SS))
        return self.norm2(x + self.fc2(self.act(self.fc1(x))))


class BertEncoder(nn.Cell):
    """Token ids to hidden states behind the last layer: `last_hidden_state` of a BertModel that is
    given the mask of what is not padding.
    """

    def __init__(self, spec: BertSpec) -> None:
        super().__init__()
        self.spec, self.pad_id = spec, spec.pad_id
        self.token_embedding = Embedding(spec.vocabulary, spec.width)
        self.position_embedding = Parameter(ops.zeros((spec.positions, spec.width)))
        self.type_embedding = Parameter(ops.zeros((spec.types, spec.width)))
        self.embedding_norm = LayerNorm(spec.width, spec.eps)
        self.layers = nn.CellList([Layer(spec) for _ in range(spec.layers)])

    def init_weights(self, draw) -> None:
        """Places and kinds of segment start as N(0, 0.02), as in BERT."""
        for name in ("position_embedding", "type_embedding"):
            parameter = getattr(self, name)
            drawn = draw(name).standard_normal(parameter.shape, "float32") * 0.02
            parameter.set_data(Tensor(drawn))

    def construct(self, ids_BS: Tensor) -> Tensor:
        """int32 (B, S), S at most spec.positions -> float32 (B, S, D)."""
        batch, length = ids_BS.shape
        x = self.token_embedding(ids_BS)
        padding = (ids_BS == self.pad_id).astype(x.dtype)
        x = x + padding.expand_dims(-1) * (ops.stop_gradient(x) - x)  # padding learns nothing
        x = self.embedding_norm(x + self.position_embedding[:length] + self.type_embedding[0])
        unread = (padding * UNREAD).reshape((batch, 1, 1, length))
        mask = unread.broadcast_to((batch, 1, length, length))
        for layer in self.layers:
            x = layer(x, mask)
        return x


class Pooled(nn.Cell):
    """One vector a prompt: the mean over its tokens without [CLS] and padding, with [SEP], or the
    state of [CLS]; as video-diffusion-pytorch's `bert_embed`.

    Raises:
        ConfigError: an unknown rule.
    """

    def __init__(self, encoder: BertEncoder, rule: str = "mean") -> None:
        super().__init__(auto_prefix=False)
        if rule not in POOLINGS:
            raise ConfigError(f"pooling is {rule!r}; it must be one of {', '.join(POOLINGS)}")
        self.encoder, self.mean = encoder, rule == "mean"

    def construct(self, ids_BS: Tensor) -> Tensor:
        """int32 (B, S) -> float32 (B, D)."""
        states = self.encoder(ids_BS).astype(mstype.float32)
        if not self.mean:
            return states[:, 0]
        kept = (ids_BS[:, 1:] != self.encoder.pad_id).astype(mstype.float32).expand_dims(-1)
        return (states[:, 1:] * kept).sum(1) / (kept.sum(1) + FEW)


def build(spec: BertSpec, dtype: str = "float32") -> BertEncoder:
    """The encoder; it computes in float32 whatever the network beside it does."""
    return BertEncoder(spec)


def alone(spec: BertSpec, arrays: Mapping[str, np.ndarray]) -> BertEncoder:
    """The encoder, to be run alone."""
    return BertEncoder(spec)
