"""T5's encoder: token ids to one vector a token, in float32 (in halves its feed-forwards overflow);
names in networks/t5/names.py.

Legend: B prompts, S tokens of a prompt, D channels, N heads.
"""

from __future__ import annotations

from collections.abc import Mapping

import mindspore as ms
import numpy as np
from mindspore import Tensor, nn, ops

from mindlong.networks.t5.names import layer as layer_names
from mindlong.networks.t5.spec import T5Spec, buckets_of
from mindlong.ops.activation import TanhGELU
from mindlong.ops.device import use_native
from mindlong.ops.embedding import Embedding
from mindlong.ops.layout import Exchange
from mindlong.ops.linear import Linear
from mindlong.ops.own_graph import OwnGraph
from mindlong.ops.weights import ones


class RMSNorm(nn.Cell):
    """x over the root of its mean square, times `weight`; nothing is subtracted, nothing added."""

    def __init__(self, width: int, eps: float) -> None:
        super().__init__()
        self.weight, self.eps = ones(width), eps
        self.native = use_native()
        if self.native:
            from mindlong.ops.native import functions

            self.kernel, self.constant = functions.rms_last(), functions.constant([eps])

    def construct(self, x: Tensor) -> Tensor:
        """(.., D) -> the same shape."""
        if self.native and x.dtype == ms.float32 and self.weight.dtype == ms.float32:
            return self.kernel(x, self.weight, self.constant)[0]
        mean = ops.square(x).mean(-1, True)
        return x * ops.rsqrt(mean + self.eps) * self.weight


class SelfAttention(nn.Cell):
    """Every token attends to all, padding too. Scores are not scaled; what the distance of two
    tokens adds comes from outside and gets its gradient.
    """

    def __init__(self, spec: T5Spec) -> None:
        super().__init__()
        inner = spec.heads * spec.head_dim
        self.heads = spec.heads
        self.to_q, self.to_k, self.to_v = (Linear(spec.width, inner, bias=False) for _ in range(3))
        self.to_out = Linear(inner, spec.width, bias=False)
        self.scores, self.mix = ops.BatchMatMul(transpose_b=True), ops.BatchMatMul()
        self.exchange = Exchange()

    def _split(self, x_BSD: Tensor) -> Tensor:
        batch, length, _ = x_BSD.shape
        return self.exchange(x_BSD.reshape((batch, length, self.heads, -1)))

    def construct(self, x_BSD: Tensor, bias_1NSS: Tensor) -> Tensor:
        """(B, S, D) -> (B, S, D)."""
        batch, length, _ = x_BSD.shape
        q, k = self._split(self.to_q(x_BSD)), self._split(self.to_k(x_BSD))
        weights = ops.softmax(self.scores(q, k) + bias_1NSS, -1)
        mixed = self.mix(weights, self._split(self.to_v(x_BSD)))
        return self.to_out(self.exchange(mixed).reshape((batch, length, -1)))


class Layer(nn.Cell):
    """Attention and a gated feed-forward, each behind a norm and beside a skip."""

    def __init__(self, spec: T5Spec) -> None:
        super().__init__()
        self.norm1, self.norm2 = RMSNorm(spec.width, spec.eps), RMSNorm(spec.width, spec.eps)
        self.attn, self.act = SelfAttention(spec), TanhGELU()
        self.gate = Linear(spec.width, spec.hidden, bias=False)
        self.up = Linear(spec.width, spec.hidden, bias=False)
        self.down = Linear(spec.hidden, spec.width, bias=False)

    def construct(self, x_BSD: Tensor, bias_1NSS: Tensor) -> Tensor:
        """(B, S, D) -> (B, S, D)."""
        x = x_BSD + self.attn(self.norm1(x_BSD), bias_1NSS)
        h = self.norm2(x)
        return x + self.down(self.act(self.gate(h)) * self.up(h))


def _buckets(spec: T5Spec):
    @ops.constexpr
    def table(length: int) -> Tensor:
        return Tensor(buckets_of(spec, length))

    return table


class T5Encoder(OwnGraph):
    """Token ids to hidden states behind the last layer and the final norm."""

    def __init__(self, spec: T5Spec) -> None:
        super().__init__()
        self.spec, self.buckets = spec, _buckets(spec)
        self.token_embedding = Embedding(spec.vocabulary, spec.width)
        self.position_bias = Embedding(spec.buckets, spec.heads)
        self.layers = nn.CellList([Layer(spec) for _ in range(spec.layers)])
        self.final_norm = RMSNorm(spec.width, spec.eps)

    def construct(self, ids_BS: Tensor) -> Tensor:
        """int32 (B, S) -> float32 (B, S, D)."""
        x = self.token_embedding(ids_BS)
        bias = self.position_bias(self.buckets(ids_BS.shape[1])).transpose((2, 0, 1))
        bias = bias.expand_dims(0)
        for layer in self.layers:
            x = layer(x, bias)
        return self.final_norm(x)


class Layered:
    """The same a layer at a time: one layer's weights are in memory, and are read again for each
    call. It is called as the cell, and gives what it gives.

    Args:
        arrays: tensors by our names; each is read when its layer is run.
    """

    def __init__(self, spec: T5Spec, arrays: Mapping[str, np.ndarray]) -> None:
        self.spec, self.arrays = spec, arrays
        self.layer: Layer | None = None

    def set_train(self, train: bool = False) -> Layered:
        """It is only run."""
        return self

    def __call__(self, ids_BS: Tensor) -> Tensor:
        """int32 (B, S) -> float32 (B, S, D)."""
        ids = ids_BS.asnumpy()
        x = Tensor(self._read("token_embedding.weight")[ids])
        table = self._read("position_bias.weight")[buckets_of(self.spec, ids.shape[1])]
        bias = Tensor(np.ascontiguousarray(table.transpose(2, 0, 1)[None]))
        self.layer = self.layer or Layer(self.spec).set_train(False)
        for number in range(self.spec.layers):
            self._fill(number)
            x = self.layer(x, bias)
        last = RMSNorm(self.spec.width, self.spec.eps)
        last.weight.set_data(Tensor(self._read("final_norm.weight")))
        return last(x)

    def _fill(self, number: int) -> None:
        parameters = {p.name: p for p in self.layer.get_parameters()}
        for entry in layer_names(self.spec, f"layers.{number}", number):
            leaf = entry.ours.removeprefix(f"layers.{number}.")
            parameters[leaf].set_data(Tensor(self._read(entry.ours)))

    def _read(self, name: str) -> np.ndarray:
        return np.ascontiguousarray(self.arrays[name], np.float32)


def build(spec: T5Spec, dtype: str = "float32") -> T5Encoder:
    """The encoder; it computes in float32 whatever the network beside it does."""
    return T5Encoder(spec)


def alone(spec: T5Spec, arrays: Mapping[str, np.ndarray]) -> T5Encoder:
    """The encoder, to be run alone."""
    return T5Encoder(spec)
