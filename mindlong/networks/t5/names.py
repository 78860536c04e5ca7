"""How files call the tensors of T5's encoder."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from mindlong.networks.names import Entry, count, same

if TYPE_CHECKING:
    from mindlong.networks.t5.spec import T5Spec

SHARED, TIED = "shared.weight", "encoder.embed_tokens.weight"
BLOCK = "encoder.block.{}"
BIAS = f"{BLOCK.format(0)}.layer.0.SelfAttention.relative_attention_bias.weight"


def names(spec: T5Spec) -> list[Entry]:
    """One entry for each tensor of the encoder. The table of tokens has two names in files."""
    return list(_walk(spec))


def parameter_count(spec: T5Spec) -> int:
    """Numbers in the encoder."""
    return count(names(spec))


def _walk(spec: T5Spec) -> Iterator[Entry]:
    table = (spec.vocabulary, spec.width)
    yield Entry("token_embedding.weight", SHARED, table, table, ties=(TIED,))
    yield same("position_bias.weight", BIAS, spec.buckets, spec.heads)
    for i in range(spec.layers):
        yield from layer(spec, f"layers.{i}", i)
    yield same("final_norm.weight", "encoder.final_layer_norm.weight", spec.width)


def layer(spec: T5Spec, ours: str, number: int) -> Iterator[Entry]:
    """The tensors of one layer, under the names of `ours`."""
    source, inner = BLOCK.format(number), spec.heads * spec.head_dim
    attention, feed = f"{source}.layer.0.SelfAttention", f"{source}.layer.1.DenseReluDense"
    yield same(f"{ours}.norm1.weight", f"{source}.layer.0.layer_norm.weight", spec.width)
    for leaf in ("q", "k", "v"):
        yield same(f"{ours}.attn.to_{leaf}.weight", f"{attention}.{leaf}.weight", inner, spec.width)
    yield same(f"{ours}.attn.to_out.weight", f"{attention}.o.weight", spec.width, inner)
    yield same(f"{ours}.norm2.weight", f"{source}.layer.1.layer_norm.weight", spec.width)
    for leaf, theirs in (("gate", "wi_0"), ("up", "wi_1")):
        yield same(f"{ours}.{leaf}.weight", f"{feed}.{theirs}.weight", spec.hidden, spec.width)
    yield same(f"{ours}.down.weight", f"{feed}.wo.weight", spec.width, spec.hidden)
