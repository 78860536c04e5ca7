"""How files call the tensors of CLIP's text encoders."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from mindlong.networks.names import Entry, count, pair, same
from mindlong.utils.errors import ConfigError, did_you_mean

if TYPE_CHECKING:
    from mindlong.networks.clip.text_spec import ClipTextSpec


@dataclass(frozen=True)
class Words:
    """What a layout calls the parts.

    Attributes:
        token, position: the two tables. block: a layer, by its number.
        query: the query's projection in a layer, for all three where they are one tensor.
        out: the projection behind the attention. rest: both norms and both linear layers.
        last: the norm behind the layers.
        custom: what usually stands before every key.
    """

    token: str
    position: str
    block: str
    query: str
    out: str
    rest: tuple[str, str, str, str]
    last: str
    custom: str


WORDS = {
    "transformers": Words(
        "embeddings.token_embedding.weight",
        "embeddings.position_embedding.weight",
        "encoder.layers.{}",
        "self_attn.q_proj.weight",
        "self_attn.out_proj",
        ("layer_norm1", "layer_norm2", "mlp.fc1", "mlp.fc2"),
        "final_layer_norm",
        "text_model.",
    ),
    "open_clip": Words(
        "token_embedding.weight",
        "positional_embedding",
        "transformer.resblocks.{}",
        "attn.in_proj_weight",
        "attn.out_proj",
        ("ln_1", "ln_2", "mlp.c_fc", "mlp.c_proj"),
        "ln_final",
        "",
    ),
}
LAYOUTS = tuple(WORDS)


def names(
    spec: ClipTextSpec, layout: str = "transformers", prefix: str | None = None
) -> list[Entry]:
    """One entry for each tensor of the text encoder.

    Args:
        layout: "transformers" (CLIPTextModel) or "open_clip" (query, key and value in one tensor).
        prefix: what stands before every source key; None is the layout's own ("text_model." or "").
            Other customs: "cond_stage_model.transformer.text_model." (SD 1.x files),
            "cond_stage_model.model." (SD 2.x, VideoCrafter2).
    """
    if layout not in WORDS:
        raise ConfigError(
            f"There is no text encoder layout {layout!r}.{did_you_mean(layout, LAYOUTS)}"
        )
    words = WORDS[layout]
    prefix = words.custom if prefix is None else prefix
    return [replace(entry, source=prefix + entry.source) for entry in _walk(spec, layout, words)]


def parameter_count(spec: ClipTextSpec) -> int:
    """Numbers in the text encoder."""
    return count(names(spec))


def fused(ours: str, source: str, leaf: str, width: int, rest: tuple[int, ...]) -> Iterator[Entry]:
    """Query, key and value projection as open_clip stacks them on axis 0 of one tensor."""
    for place, letter in enumerate("qkv"):
        rows = (place * width, (place + 1) * width)
        yield Entry(
            f"{ours}.to_{letter}.{leaf}", source, (width, *rest), (3 * width, *rest), rows=rows
        )


def _walk(spec: ClipTextSpec, layout: str, words: Words) -> Iterator[Entry]:
    yield same("token_embedding.weight", words.token, spec.vocabulary, spec.width)
    yield same("position_embedding", words.position, spec.length, spec.width)
    for i in range(spec.layers):
        ours, source = f"layers.{i}", words.block.format(i)
        yield from _projections(ours, source, layout, spec.width)
        yield from pair(f"{ours}.attn.to_out", f"{source}.{words.out}", spec.width, spec.width)
        yield from _rest(spec, ours, source, words.rest)
    yield from pair("final_norm", words.last, spec.width)


def _projections(ours: str, source: str, layout: str, width: int) -> Iterator[Entry]:
    if layout == "open_clip":
        yield from fused(f"{ours}.attn", f"{source}.attn.in_proj_weight", "weight", width, (width,))
        yield from fused(f"{ours}.attn", f"{source}.attn.in_proj_bias", "bias", width, ())
        return
    for leaf in "qkv":
        yield from pair(f"{ours}.attn.to_{leaf}", f"{source}.self_attn.{leaf}_proj", width, width)


def _rest(
    spec: ClipTextSpec, ours: str, source: str, words: tuple[str, str, str, str]
) -> Iterator[Entry]:
    yield from pair(f"{ours}.norm1", f"{source}.{words[0]}", spec.width)
    yield from pair(f"{ours}.norm2", f"{source}.{words[1]}", spec.width)
    yield from pair(f"{ours}.fc1", f"{source}.{words[2]}", spec.hidden, spec.width)
    yield from pair(f"{ours}.fc2", f"{source}.{words[3]}", spec.width, spec.hidden)
