"""How files call the tensors of CogVideoX's autoencoder: diffusers, and the original (sat).

A 3 x 3 x 3 convolution is kept as one of 3 x 3 over three times the channels, oldest frame first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mindlong.networks.names import Entry, count, pair, same
from mindlong.utils.errors import ConfigError, did_you_mean

if TYPE_CHECKING:
    from mindlong.networks.cogvideox_vae.spec import VideoVaeSpec


@dataclass(frozen=True)
class Words:
    """What the layouts call the parts that differ.

    Attributes:
        block: side, level, number of levels, block -> key. resample: side, level, levels -> key.
        middle: the key of one of the two middle blocks. skip: a block's shortcut.
    """

    block: Callable[[str, int | str, int, int | str], str]
    resample: Callable[[str, int, int], str]
    middle: Callable[[int], str]
    skip: str


_SIDE = {"encoder": "down", "decoder": "up"}
WORDS = {
    "diffusers": Words(
        lambda s, i, n, j: f"{_SIDE[s]}_blocks.{i}.resnets.{j}",
        lambda s, i, n: f"{_SIDE[s]}_blocks.{i}.{_SIDE[s]}samplers.0.conv",
        lambda j: f"mid_block.resnets.{j}",
        "conv_shortcut",
    ),
    "sat": Words(  # it numbers the decoder's levels from the largest image down
        lambda s, i, n, j: f"{_SIDE[s]}.{i if s == 'encoder' else n - 1 - int(i)}.block.{j}",
        lambda s, i, n: f"{_SIDE[s]}.{i if s == 'encoder' else n - 1 - i}.{_SIDE[s]}sample.conv",
        lambda j: f"mid.block_{j + 1}",
        "nin_shortcut",
    ),
}
LAYOUTS = tuple(WORDS)


def names(spec: VideoVaeSpec, layout: str = "diffusers") -> list[Entry]:
    """One entry for each tensor of the autoencoder."""
    if layout not in WORDS:
        raise ConfigError(f"There is no layout {layout!r}.{did_you_mean(layout, LAYOUTS)}")
    return [*_side(spec, WORDS[layout], "encoder"), *_side(spec, WORDS[layout], "decoder")]


def parameter_count(spec: VideoVaeSpec) -> int:
    """Numbers in the autoencoder."""
    return count(names(spec))


def _side(spec: VideoVaeSpec, words: Words, side: str) -> Iterator[Entry]:
    first, last, latent = spec.block_channels[0], spec.block_channels[-1], spec.latent_channels
    encoder = side == "encoder"
    into = (first, spec.channels) if encoder else (last, latent)
    out = (2 * latent, last) if encoder else (spec.channels, first)
    zq = 0 if encoder else latent
    yield from _causal(f"{side}.conv_in", f"{side}.conv_in", *into)
    yield from _levels(spec, words, side, zq)
    for j in range(2):
        source = f"{side}.{words.middle(j)}"
        yield from _resnet(words, f"{side}.mid.{j}", source, last, last, zq)
    yield from _norm(f"{side}.norm_out", f"{side}.norm_out", out[1], zq)
    yield from _causal(f"{side}.conv_out", f"{side}.conv_out", *out)


def _levels(spec: VideoVaeSpec, words: Words, side: str, zq: int) -> Iterator[Entry]:
    levels, blocks, resample = spec.levels, spec.layers, "downsample"
    if side == "decoder":
        levels, blocks, resample = spec.up_levels, spec.layers + 1, "upsample"
    for i, (cin, cout) in enumerate(levels):
        for j in range(blocks):
            source = f"{side}.{words.block(side, i, len(levels), j)}"
            ours = f"{side}.levels.{i}.blocks.{j}"
            yield from _resnet(words, ours, source, cin if j == 0 else cout, cout, zq)
        if i < len(levels) - 1:
            source = f"{side}.{words.resample(side, i, len(levels))}"
            yield from pair(f"{side}.levels.{i}.{resample}.conv", source, cout, cout, 3, 3)


def _resnet(words: Words, ours: str, source: str, cin: int, cout: int, zq: int) -> Iterator[Entry]:
    for number, width in ((1, cin), (2, cout)):
        yield from _norm(f"{ours}.norm{number}", f"{source}.norm{number}", width, zq)
        yield from _causal(f"{ours}.conv{number}", f"{source}.conv{number}", cout, width)
    if cin != cout:
        yield from _pointwise(f"{ours}.skip", f"{source}.{words.skip}", cout, cin)


def _norm(ours: str, source: str, width: int, zq: int) -> Iterator[Entry]:
    """A norm, in the decoder with the two convolutions of latents that scale and shift it."""
    if not zq:
        yield from pair(ours, source, width)
        return
    yield from pair(f"{ours}.norm", f"{source}.norm_layer", width)
    for leaf in ("conv_y", "conv_b"):
        yield from _pointwise(f"{ours}.{leaf}", f"{source}.{leaf}.conv", width, zq)


def _causal(ours: str, source: str, cout: int, cin: int) -> Iterator[Entry]:
    shapes = (cout, 3 * cin, 3, 3), (cout, cin, 3, 3, 3)
    names = f"{ours}.conv.weight", f"{source}.conv.weight"
    yield Entry(*names, *shapes, axes=(0, 2, 1, 3, 4))
    yield same(f"{ours}.conv.bias", f"{source}.conv.bias", cout)


def _pointwise(ours: str, source: str, cout: int, cin: int) -> Iterator[Entry]:
    shapes = (cout, cin, 1, 1), (cout, cin, 1, 1, 1)
    yield Entry(f"{ours}.weight", f"{source}.weight", *shapes)
    yield same(f"{ours}.bias", f"{source}.bias", cout)
