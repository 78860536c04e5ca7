"""How files call the tensors of CogVideoX's transformer: diffusers, and the original (sat)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from mindlong.networks.names import Entry, count, pair, same
from mindlong.utils.errors import ConfigError, did_you_mean

if TYPE_CHECKING:
    from mindlong.networks.cogvideox.spec import CogVideoXSpec

LAYOUTS = ("diffusers", "sat")
_SAT = "transformer.layers.{}"
# Of the 12 chunks of sat's one modulation, where three of ours begin twice: norm1, norm2
_CHUNKS = ((0, 6), (3, 9))


def names(spec: CogVideoXSpec, layout: str = "diffusers") -> list[Entry]:
    """One entry for each tensor. sat has one matrix for query, key and value, and one for both
    modulations of a block.
    """
    if layout not in LAYOUTS:
        raise ConfigError(f"There is no layout {layout!r}.{did_you_mean(layout, LAYOUTS)}")
    return list(_walk(spec) if layout == "diffusers" else _walk_sat(spec))


def parameter_count(spec: CogVideoXSpec) -> int:
    """Numbers in the transformer."""
    return count(names(spec))


def _walk(spec: CogVideoXSpec) -> Iterator[Entry]:
    d, e, p = spec.width, spec.time_dim, spec.patch
    yield from pair("patch.proj", "patch_embed.proj", d, spec.in_channels, p, p)
    yield from pair("patch.text", "patch_embed.text_proj", d, spec.context_dim)
    yield from pair("time_embedding.fc1", "time_embedding.linear_1", e, d)
    yield from pair("time_embedding.fc2", "time_embedding.linear_2", e, e)
    for i in range(spec.layers):
        yield from _block(spec, f"blocks.{i}", f"transformer_blocks.{i}")
    yield from pair("norm_final", "norm_final", d)
    yield from pair("norm_out.linear", "norm_out.linear", 2 * d, e)
    yield from pair("norm_out.norm", "norm_out.norm", d)
    yield from pair("proj_out", "proj_out", spec.out_channels * p * p, d)


def _block(spec: CogVideoXSpec, ours: str, source: str) -> Iterator[Entry]:
    d, h = spec.width, spec.hidden
    yield from _norm(spec, f"{ours}.norm1", f"{source}.norm1")
    for leaf in ("norm_q", "norm_k"):
        yield from pair(f"{ours}.attn.{leaf}", f"{source}.attn1.{leaf}", spec.head_dim)
    for leaf in ("to_q", "to_k", "to_v"):
        yield from pair(f"{ours}.attn.{leaf}", f"{source}.attn1.{leaf}", d, d)
    yield from pair(f"{ours}.attn.to_out", f"{source}.attn1.to_out.0", d, d)
    yield from _norm(spec, f"{ours}.norm2", f"{source}.norm2")
    yield from pair(f"{ours}.ff.fc1", f"{source}.ff.net.0.proj", h, d)
    yield from pair(f"{ours}.ff.fc2", f"{source}.ff.net.2", d, h)


def _norm(spec: CogVideoXSpec, ours: str, source: str) -> Iterator[Entry]:
    yield from pair(f"{ours}.linear", f"{source}.linear", 6 * spec.width, spec.time_dim)
    yield from pair(f"{ours}.norm", f"{source}.norm", spec.width)


def _walk_sat(spec: CogVideoXSpec) -> Iterator[Entry]:
    d, e, p = spec.width, spec.time_dim, spec.patch
    patch = (d, spec.in_channels, p, p)
    mixed = "mixins.patch_embed.proj"
    flat = (d, spec.in_channels * p * p)
    yield Entry("patch.proj.weight", f"{mixed}.weight", patch, flat)
    yield same("patch.proj.bias", f"{mixed}.bias", d)
    yield from pair("patch.text", "mixins.patch_embed.text_proj", d, spec.context_dim)
    yield from pair("time_embedding.fc1", "time_embed.0", e, d)
    yield from pair("time_embedding.fc2", "time_embed.2", e, e)
    for i in range(spec.layers):
        yield from _sat_block(spec, i)
    yield from pair("norm_final", "transformer.final_layernorm", d)
    yield from pair("norm_out.norm", "mixins.final_layer.norm_final", d)
    yield from pair("norm_out.linear", "mixins.final_layer.adaLN_modulation.1", 2 * d, e)
    yield from pair("proj_out", "mixins.final_layer.linear", spec.out_channels * p * p, d)


def _sat_block(spec: CogVideoXSpec, i: int) -> Iterator[Entry]:
    ours, source, d = f"blocks.{i}", _SAT.format(i), spec.width
    modulation = f"mixins.adaln_layer.adaLN_modulations.{i}.1"
    for number, leaf in ((1, "input_layernorm"), (2, "post_attention_layernorm")):
        yield from pair(f"{ours}.norm{number}.norm", f"{source}.{leaf}", d)
        first, second = _CHUNKS[number - 1]
        rows, more = _three(first, d), _three(second, d)
        shape = (12 * d, spec.time_dim)
        yield from _stacked(f"{ours}.norm{number}.linear", modulation, shape, rows, (more,))
    for place, leaf in enumerate(("to_q", "to_k", "to_v")):
        rows = (place * d, (place + 1) * d)
        fused = f"{source}.attention.query_key_value"
        yield from _stacked(f"{ours}.attn.{leaf}", fused, (3 * d, d), rows)
    for leaf, theirs in (("norm_q", "query"), ("norm_k", "key")):
        mixed = f"mixins.adaln_layer.{theirs}_layernorm_list.{i}"
        yield from pair(f"{ours}.attn.{leaf}", mixed, spec.head_dim)
    yield from pair(f"{ours}.attn.to_out", f"{source}.attention.dense", d, d)
    yield from pair(f"{ours}.ff.fc1", f"{source}.mlp.dense_h_to_4h", spec.hidden, d)
    yield from pair(f"{ours}.ff.fc2", f"{source}.mlp.dense_4h_to_h", d, spec.hidden)


def _three(chunk: int, width: int) -> tuple[int, int]:
    """The rows of three chunks of a modulation, the first of them `chunk`."""
    return chunk * width, (chunk + 3) * width


def _stacked(
    ours: str,
    source: str,
    shape: tuple[int, int],
    rows: tuple[int, int],
    more: tuple[tuple[int, int], ...] = (),
) -> Iterator[Entry]:
    """A weight and its bias that are rows of a larger one."""
    held = sum(last - first for first, last in (rows, *more))
    for leaf, theirs in (("weight", shape), ("bias", shape[:1])):
        mine = (held, *theirs[1:])
        yield Entry(f"{ours}.{leaf}", f"{source}.{leaf}", mine, theirs, rows=rows, more_rows=more)
