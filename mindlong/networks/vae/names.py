"""How files call the tensors of AutoencoderKL."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mindlong.networks.names import Entry, count, pair, same
from mindlong.utils.errors import ConfigError, did_you_mean

if TYPE_CHECKING:
    from mindlong.networks.vae.spec import VaeSpec

Place = str | int  # a number, or "{}" for one to be put in


@dataclass(frozen=True)
class Words:
    """What the layouts call the parts that differ."""

    block: Callable[[str, Place, int, Place], str]  # side, level, number of levels, block -> key
    resample: Callable[[str, int, int], str]
    mid_res: tuple[str, str]
    attention: str
    attention_leaves: tuple[str, str, str, str, str]  # norm, q, k, v, out
    skip: str
    norm_out: str
    attention_rank: int


def _diffusers(leaves: tuple[str, str, str, str, str]) -> Words:
    side = {"encoder": "down", "decoder": "up"}
    return Words(
        lambda s, i, n, j: f"{side[s]}_blocks.{i}.resnets.{j}",
        lambda s, i, n: f"{side[s]}_blocks.{i}.{side[s]}samplers.0.conv",
        ("mid_block.resnets.0", "mid_block.resnets.1"),
        "mid_block.attentions.0",
        leaves,
        "conv_shortcut",
        "conv_norm_out",
        2,
    )


def _ldm() -> Words:
    """LDM numbers the decoder's levels from the largest image down, although they are run in the
    other order.
    """
    side = {"encoder": "down", "decoder": "up"}

    def level(s, i, n):
        return i if s == "encoder" else n - 1 - i

    return Words(
        lambda s, i, n, j: f"{side[s]}.{level(s, i, n)}.block.{j}",
        lambda s, i, n: f"{side[s]}.{level(s, i, n)}.{side[s]}sample.conv",
        ("mid.block_1", "mid.block_2"),
        "mid.attn_1",
        ("norm", "q", "k", "v", "proj_out"),
        "nin_shortcut",
        "norm_out",
        4,
    )


WORDS = {
    "diffusers": _diffusers(("group_norm", "to_q", "to_k", "to_v", "to_out.0")),
    "diffusers_old": _diffusers(("group_norm", "query", "key", "value", "proj_attn")),
    "ldm": _ldm(),
}


def names(spec: VaeSpec, layout: str = "diffusers", prefix: str = "") -> list[Entry]:
    """One entry for each tensor of the autoencoder.

    Args:
        layout: "diffusers", "diffusers_old" (query/key/value names, before 0.18) or "ldm" (the
            original code, ModelScope's VQGAN_autoencoder.pth, and VideoCrafter2's model.ckpt).
        prefix: what stands before every source key, for instance "first_stage_model.".
    """
    if layout not in WORDS:
        raise ConfigError(
            f"There is no autoencoder layout {layout!r}.{did_you_mean(layout, WORDS)}"
        )
    words, latent = WORDS[layout], spec.latent_channels
    entries = [*_side(spec, words, "encoder"), *_side(spec, words, "decoder")]
    entries += pair("quant_conv", "quant_conv", 2 * latent, 2 * latent, 1, 1)
    entries += pair("post_quant_conv", "post_quant_conv", latent, latent, 1, 1)
    return [Entry(e.ours, prefix + e.source, e.our_shape, e.source_shape) for e in entries]


def parameter_count(spec: VaeSpec) -> int:
    """Numbers in the autoencoder."""
    return count(names(spec))


def _resnet(words: Words, ours: str, source: str, cin: int, cout: int) -> list[Entry]:
    entries = []
    for number, width in ((1, cin), (2, cout)):
        entries += pair(f"{ours}.norm{number}", f"{source}.norm{number}", width)
        entries += pair(f"{ours}.conv{number}", f"{source}.conv{number}", cout, width, 3, 3)
    return entries + (
        pair(f"{ours}.skip", f"{source}.{words.skip}", cout, cin, 1, 1) if cin != cout else []
    )


def _attention(words: Words, ours: str, source: str, width: int) -> list[Entry]:
    norm, *projections = words.attention_leaves
    entries = pair(f"{ours}.norm", f"{source}.{norm}", width)
    shape = (width, width, 1, 1)[: words.attention_rank]
    for leaf, theirs in zip(("to_q", "to_k", "to_v", "to_out"), projections, strict=True):
        entries.append(
            Entry(f"{ours}.{leaf}.weight", f"{source}.{theirs}.weight", (width, width), shape)
        )
        entries.append(same(f"{ours}.{leaf}.bias", f"{source}.{theirs}.bias", width))
    return entries


def _mid(words: Words, side: str, width: int) -> Iterator[Entry]:
    yield from _resnet(words, f"{side}.mid.res1", f"{side}.{words.mid_res[0]}", width, width)
    yield from _attention(words, f"{side}.mid.attn", f"{side}.{words.attention}", width)
    yield from _resnet(words, f"{side}.mid.res2", f"{side}.{words.mid_res[1]}", width, width)


def _levels(spec: VaeSpec, words: Words, side: str) -> Iterator[Entry]:
    levels, blocks, resample = spec.levels, spec.layers, "downsample"
    if side == "decoder":
        levels, blocks, resample = spec.up_levels, spec.layers + 1, "upsample"
    for i, (cin, cout) in enumerate(levels):
        for j in range(blocks):
            source = f"{side}.{words.block(side, i, len(levels), j)}"
            yield from _resnet(
                words, f"{side}.levels.{i}.blocks.{j}", source, cin if j == 0 else cout, cout
            )
        if i < len(levels) - 1:
            source = f"{side}.{words.resample(side, i, len(levels))}"
            yield from pair(f"{side}.levels.{i}.{resample}.conv", source, cout, cout, 3, 3)


def _side(spec: VaeSpec, words: Words, side: str) -> list[Entry]:
    first, last = spec.block_channels[0], spec.block_channels[-1]
    encoder = side == "encoder"
    into = (first, spec.channels) if encoder else (last, spec.latent_channels)
    out = (2 * spec.latent_channels, last) if encoder else (spec.channels, first)
    return [
        *pair(f"{side}.conv_in", f"{side}.conv_in", *into, 3, 3),
        *_levels(spec, words, side),
        *_mid(words, side, last),
        *pair(f"{side}.norm_out", f"{side}.{words.norm_out}", out[1]),
        *pair(f"{side}.conv_out", f"{side}.conv_out", *out, 3, 3),
    ]
