"""How files call the tensors of BERT's encoder."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from mindlong.networks.names import Entry, count, pair, same
from mindlong.utils.errors import ConfigError, did_you_mean

if TYPE_CHECKING:
    from mindlong.networks.bert.spec import BertSpec

NORMS = {"transformers": ("weight", "bias"), "tensorflow": ("gamma", "beta")}
LAYOUTS = tuple(NORMS)
FIRST = "embeddings.word_embeddings.weight"
BLOCK = "encoder.layer.{}"


def names(spec: BertSpec, layout: str = "transformers") -> list[Entry]:
    """One entry for each tensor of the encoder; its pooler is not one of them.

    Args:
        layout: "transformers", or "tensorflow": the same with the norms' leaves called gamma and
            beta, as files converted from the first release have them (bert-base-cased).
    """
    if layout not in NORMS:
        raise ConfigError(f"There is no BERT layout {layout!r}.{did_you_mean(layout, LAYOUTS)}")
    return list(_walk(spec, NORMS[layout]))


def parameter_count(spec: BertSpec) -> int:
    """Numbers in the encoder."""
    return count(names(spec))


def _walk(spec: BertSpec, leaves: tuple[str, str]) -> Iterator[Entry]:
    width = spec.width
    yield same("token_embedding.weight", FIRST, spec.vocabulary, width)
    yield same("position_embedding", "embeddings.position_embeddings.weight", spec.positions, width)
    yield same("type_embedding", "embeddings.token_type_embeddings.weight", spec.types, width)
    yield from _norm("embedding_norm", "embeddings.LayerNorm", leaves, width)
    for i in range(spec.layers):
        ours, source = f"layers.{i}", BLOCK.format(i)
        for leaf in ("query", "key", "value"):
            yield from pair(
                f"{ours}.attn.to_{leaf[0]}", f"{source}.attention.self.{leaf}", width, width
            )
        yield from pair(f"{ours}.attn.to_out", f"{source}.attention.output.dense", width, width)
        yield from _norm(f"{ours}.norm1", f"{source}.attention.output.LayerNorm", leaves, width)
        yield from pair(f"{ours}.fc1", f"{source}.intermediate.dense", spec.hidden, width)
        yield from pair(f"{ours}.fc2", f"{source}.output.dense", width, spec.hidden)
        yield from _norm(f"{ours}.norm2", f"{source}.output.LayerNorm", leaves, width)


def _norm(ours: str, source: str, leaves: tuple[str, str], width: int) -> Iterator[Entry]:
    for leaf, theirs in zip(("weight", "bias"), leaves, strict=True):
        yield same(f"{ours}.{leaf}", f"{source}.{theirs}", width)
