"""A small caption encoder, trained together with the network it conditions.

Legend: B batch, L tokens, W width, N heads, K width of a head, D width of the condition.
"""

from __future__ import annotations

import math

import mindspore as ms
import numpy as np
from mindspore import Parameter, Tensor, nn, ops

from mindlong.networks.caption.spec import PADDING, VOCABULARY, caption_ids
from mindlong.ops.activation import GELU
from mindlong.ops.embedding import Embedding
from mindlong.ops.linear import Linear
from mindlong.ops.norm import LayerNorm

__all__ = ["CaptionEncoder", "caption_ids"]
IGNORED = -1e9  # score of a padding token


class CaptionLayer(nn.Cell):
    """Pre-norm transformer layer over at most some dozen tokens."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads, self.scale = heads, 1.0 / math.sqrt(width // heads)
        self.norm1, self.norm2 = LayerNorm(width), LayerNorm(width)
        self.to_qkv, self.to_out = Linear(width, 3 * width), Linear(width, width)
        self.fc1, self.act, self.fc2 = Linear(width, 4 * width), GELU(), Linear(4 * width, width)
        self.scores, self.mix = ops.BatchMatMul(transpose_b=True), ops.BatchMatMul()

    def construct(self, x_BLW: Tensor, ignored_B1L: Tensor) -> Tensor:
        """(B, L, W) -> (B, L, W); `ignored_B1L` is added to the scores."""
        x_BLW = x_BLW + self._attend(self.norm1(x_BLW), ignored_B1L)
        return x_BLW + self.fc2(self.act(self.fc1(self.norm2(x_BLW))))

    def _attend(self, x_BLW: Tensor, ignored_B1L: Tensor) -> Tensor:
        batch, length, width = x_BLW.shape
        heads = (batch, length, self.heads, width // self.heads)
        q, k, v = ops.chunk(self.to_qkv(x_BLW), 3, -1)
        q, k, v = (part.reshape(heads).transpose((0, 2, 1, 3)) for part in (q, k, v))
        scores = self.scores(q, k).astype(ms.float32) * self.scale
        weights = ops.softmax(scores + ignored_B1L.expand_dims(1), -1).astype(v.dtype)
        return self.to_out(
            self.mix(weights, v).transpose((0, 2, 1, 3)).reshape((batch, length, width))
        )


class CaptionEncoder(nn.Cell):
    """Token numbers -> one condition vector: embedding and places, `layers` transformer layers,
    attention pooling.

    Args:
        width: W; a multiple of `heads`.
        layers: transformer layers, 0 or more.
        heads: N.
        length: L.
        cond_dim: D.
    """

    def __init__(self, width: int, layers: int, heads: int, length: int, cond_dim: int) -> None:
        super().__init__()
        self.shape = (length, width)
        self.embed = Embedding(VOCABULARY, width)
        self.places = Parameter(ops.zeros((length, width)))
        self.query = Parameter(ops.zeros((width,)))
        self.layers = nn.CellList([CaptionLayer(width, heads) for _ in range(layers)])
        self.norm, self.out = LayerNorm(width), Linear(width, cond_dim)
        self.scale = 1.0 / math.sqrt(width)

    def init_weights(self, draw) -> None:
        """Places and pooling query start as N(0, 1), as the embedding they are added to and the
        keys they meet.
        """
        for leaf, shape in (("places", self.shape), ("query", self.shape[1:])):
            getattr(self, leaf).set_data(
                Tensor(draw(leaf).standard_normal(shape, dtype=np.float32))
            )

    def construct(self, ids_BL: Tensor) -> Tensor:
        """int32 (B, L) -> float32 (B, D). A row of padding gives some finite vector; callers
        replace it by the null.
        """
        x_BLW = self.embed(ids_BL) + self.places
        ignored_B1L = (ids_BL == PADDING).astype(ms.float32).expand_dims(1) * IGNORED
        for layer in self.layers:
            x_BLW = layer(x_BLW, ignored_B1L)
        x_BLW = self.norm(x_BLW).astype(ms.float32)
        scores_BL = ops.matmul(x_BLW, self.query) * self.scale + ignored_B1L.squeeze(1)
        pooled_BW = (x_BLW * ops.softmax(scores_BL, -1).expand_dims(-1)).sum(1)
        return self.out(pooled_BW)
