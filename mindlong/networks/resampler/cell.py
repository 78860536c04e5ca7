"""The Resampler: learnt queries read an image encoder's tokens; names in
networks/resampler/names.py.

Legend: N images, S tokens of the image encoder, T queries, D channels, H heads.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from mindspore import Parameter, Tensor, nn, ops

from mindlong.ops.activation import GELU
from mindlong.ops.attention import TokenAttention
from mindlong.ops.linear import Linear
from mindlong.ops.norm import LayerNorm

if TYPE_CHECKING:
    from mindlong.networks.resampler.spec import ResamplerSpec


class Layer(nn.Cell):
    """The queries read the image's tokens and one another, then a feed-forward; each beside a
    skip.
    """

    def __init__(self, spec: ResamplerSpec) -> None:
        super().__init__()
        width, inner = spec.width, spec.inner
        self.norm_image, self.norm_query, self.norm_ff = (
            LayerNorm(width, spec.eps) for _ in range(3)
        )
        self.to_q = Linear(width, inner, bias=False)
        self.to_kv = Linear(width, 2 * inner, bias=False)
        self.to_out = Linear(inner, width, bias=False)
        self.attend = TokenAttention(spec.heads, spec.head_dim**-0.5)
        self.fc1 = Linear(width, spec.hidden, bias=False)
        self.fc2 = Linear(spec.hidden, width, bias=False)
        self.act = GELU()

    def construct(self, queries_NTD: Tensor, image_NSD: Tensor) -> Tensor:
        """The queries behind the layer, (N, T, D)."""
        own = self.norm_query(queries_NTD)
        read = ops.concat((self.norm_image(image_NSD), own), 1)
        k, v = ops.chunk(self.to_kv(read), 2, -1)
        queries_NTD = queries_NTD + self.to_out(self.attend(self.to_q(own), k, v))
        return queries_NTD + self.fc2(self.act(self.fc1(self.norm_ff(queries_NTD))))


class Resampler(nn.Cell):
    """Tokens of an image encoder to as many tokens as there are queries."""

    def __init__(self, spec: ResamplerSpec) -> None:
        super().__init__()
        self.spec = spec
        self.queries = Parameter(ops.zeros((spec.tokens, spec.width)))
        self.proj_in = Linear(spec.reads, spec.width)
        self.layers = nn.CellList([Layer(spec) for _ in range(spec.layers)])
        self.proj_out = Linear(spec.width, spec.gives)
        self.norm_out = LayerNorm(spec.gives, spec.eps)

    def init_weights(self, draw) -> None:
        """The queries start as N(0, 1 / width)."""
        drawn = draw("queries").standard_normal(self.queries.shape, "float32")
        self.queries.set_data(Tensor(drawn * self.spec.width**-0.5))

    def construct(self, x_NSD: Tensor) -> Tensor:
        """float32 (N, S, reads) -> (N, T, gives); T is in order of frames, then of tokens."""
        image, shape = self.proj_in(x_NSD), (x_NSD.shape[0], *self.queries.shape)
        queries = self.queries.expand_dims(0).broadcast_to(shape)
        for layer in self.layers:
            queries = layer(queries, image)
        return self.norm_out(self.proj_out(queries))


def build(spec: ResamplerSpec, dtype: str = "float32") -> Resampler:
    """The network; it computes in float32 whatever the network beside it does."""
    return Resampler(spec)


def alone(spec: ResamplerSpec, arrays: Mapping[str, np.ndarray]) -> Resampler:
    """The network, to be run alone."""
    return Resampler(spec)
