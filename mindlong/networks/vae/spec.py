"""AutoencoderKL, the image autoencoder of Stable Diffusion, as a spec and as a list of tensor
names.

One network for SD 1.x/2.x, ModelScope text-to-video and VideoCrafter2; only the names in their
files differ.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import prod

from mindlong.networks.names import Entry
from mindlong.utils.errors import ConfigError, did_you_mean

LAYOUTS = ("diffusers", "diffusers_old", "ldm")
IGNORED = (
    r"loss\..*",
    r"model_ema\..*",
    r"(en|de)coder\..*num_batches_tracked",
)  # in files, not in the network


@dataclass(frozen=True)
class VaeSpec:
    """What the autoencoder is made of.

    Attributes:
        channels: channels of a picture.
        latent_channels: channels of a latent.
        block_channels: channels of each level; every level but the last halves height and width.
        layers: residual blocks of an encoder level (a decoder level has one more).
        groups: groups of every GroupNorm.
        eps: of every GroupNorm.
        scaling: latents are multiplied by it before the UNet sees them, to have a deviation near 1.

    Raises:
        ConfigError: a field out of its range.
    """

    channels: int = 3
    latent_channels: int = 4
    block_channels: tuple[int, ...] = (128, 256, 512, 512)
    layers: int = 2
    groups: int = 32
    eps: float = 1e-6
    scaling: float = 0.18215

    def __post_init__(self) -> None:
        object.__setattr__(self, "block_channels", tuple(self.block_channels))
        if not self.block_channels or self.layers < 1:
            raise ConfigError(
                "The autoencoder needs at least one level in block_channels, and layers of at least 1."
            )
        for width in self.block_channels:
            if width % self.groups:
                raise ConfigError(
                    f"block_channels holds {width}; each must be a multiple of groups ({self.groups})."
                )

    @property
    def factor(self) -> int:
        """Pixels per latent along an edge."""
        return 2 ** (len(self.block_channels) - 1)

    @property
    def levels(self) -> list[tuple[int, int]]:
        """(channels in, channels out) of each encoder level."""
        return list(
            zip((self.block_channels[0], *self.block_channels), self.block_channels, strict=False)
        )

    @property
    def up_levels(self) -> list[tuple[int, int]]:
        """(channels in, channels out) of each decoder level, from the smallest picture to the
        largest.
        """
        widths = self.block_channels[::-1]
        return list(zip((widths[0], *widths), widths, strict=False))


@dataclass(frozen=True)
class _Words:
    """What the layouts call the parts that differ."""

    block: Callable[[str, int, int, int], str]  # side, level, number of levels, block -> key
    resample: Callable[[str, int, int], str]
    mid_res: tuple[str, str]
    attention: str
    attention_leaves: tuple[str, str, str, str, str]  # norm, q, k, v, out
    skip: str
    norm_out: str
    attention_rank: int


def _diffusers(leaves: tuple[str, ...]) -> _Words:
    side = {"encoder": "down", "decoder": "up"}
    return _Words(
        lambda s, i, n, j: f"{side[s]}_blocks.{i}.resnets.{j}",
        lambda s, i, n: f"{side[s]}_blocks.{i}.{side[s]}samplers.0.conv",
        ("mid_block.resnets.0", "mid_block.resnets.1"),
        "mid_block.attentions.0",
        leaves,
        "conv_shortcut",
        "conv_norm_out",
        2,
    )


def _ldm() -> _Words:
    """LDM numbers the decoder's levels from the largest picture down, although they are run in the
    other order.
    """
    side = {"encoder": "down", "decoder": "up"}

    def level(s, i, n):
        return i if s == "encoder" else n - 1 - i

    return _Words(
        lambda s, i, n, j: f"{side[s]}.{level(s, i, n)}.block.{j}",
        lambda s, i, n: f"{side[s]}.{level(s, i, n)}.{side[s]}sample.conv",
        ("mid.block_1", "mid.block_2"),
        "mid.attn_1",
        ("norm", "q", "k", "v", "proj_out"),
        "nin_shortcut",
        "norm_out",
        4,
    )


_WORDS = {
    "diffusers": _diffusers(("group_norm", "to_q", "to_k", "to_v", "to_out.0")),
    "diffusers_old": _diffusers(("group_norm", "query", "key", "value", "proj_attn")),
    "ldm": _ldm(),
}


def names(spec: VaeSpec, layout: str = "diffusers", prefix: str = "") -> list[Entry]:
    """One entry for each tensor of the autoencoder.

    Args:
        layout: "diffusers", "diffusers_old" (query/key/value names, before 0.18) or "ldm" (the
            original code,
        ModelScope's
            VQGAN_autoencoder.pth, and VideoCrafter2's model.ckpt).
        prefix: what stands before every source key, for instance "first_stage_model.".
    """
    if layout not in _WORDS:
        raise ConfigError(
            f"There is no autoencoder layout {layout!r}.{did_you_mean(layout, LAYOUTS)}"
        )
    words, latent = _WORDS[layout], spec.latent_channels
    entries = [*_side(spec, words, "encoder"), *_side(spec, words, "decoder")]
    entries += _conv("quant_conv", "quant_conv", 2 * latent, 2 * latent, 1)
    entries += _conv("post_quant_conv", "post_quant_conv", latent, latent, 1)
    return [Entry(e.ours, prefix + e.source, e.our_shape, e.source_shape) for e in entries]


def parameter_count(spec: VaeSpec) -> int:
    """Numbers in the autoencoder."""
    return sum(prod(entry.our_shape) for entry in names(spec))


def decode_peak_bytes(spec: VaeSpec, height: int, width: int, frames: int = 1) -> int:
    """Estimated memory in bytes that decoding `frames` pictures of `height` x `width` pixels at
    once takes beside the weights.

    Five pictures of features at the widest place, and 64 MiB: measured on a CPU at full size, 378
    MiB for one picture of
    256 x 256 (estimate 384), 701 MiB for two (704).
    """
    widest = 0
    for i, (cin, _) in enumerate(spec.up_levels):
        scale = spec.factor >> i
        widest = max(widest, -(-height // scale) * -(-width // scale) * cin)
    return 5 * 4 * frames * widest + 64 * 2**20


def _same(ours: str, source: str, *shape: int) -> Entry:
    return Entry(ours, source, shape, shape)


def _norm(ours: str, source: str, width: int) -> list[Entry]:
    return [_same(f"{ours}.{leaf}", f"{source}.{leaf}", width) for leaf in ("weight", "bias")]


def _conv(ours: str, source: str, cin: int, cout: int, kernel: int) -> list[Entry]:
    return [
        _same(f"{ours}.weight", f"{source}.weight", cout, cin, kernel, kernel),
        _same(f"{ours}.bias", f"{source}.bias", cout),
    ]


def _resnet(words: _Words, ours: str, source: str, cin: int, cout: int) -> list[Entry]:
    entries = []
    for number, width in ((1, cin), (2, cout)):
        entries += _norm(f"{ours}.norm{number}", f"{source}.norm{number}", width)
        entries += _conv(f"{ours}.conv{number}", f"{source}.conv{number}", width, cout, 3)
    return entries + (
        _conv(f"{ours}.skip", f"{source}.{words.skip}", cin, cout, 1) if cin != cout else []
    )


def _attention(words: _Words, ours: str, source: str, width: int) -> list[Entry]:
    norm, *projections = words.attention_leaves
    entries = _norm(f"{ours}.norm", f"{source}.{norm}", width)
    shape = (width, width, 1, 1)[: words.attention_rank]
    for leaf, theirs in zip(("to_q", "to_k", "to_v", "to_out"), projections, strict=True):
        entries.append(
            Entry(f"{ours}.{leaf}.weight", f"{source}.{theirs}.weight", (width, width), shape)
        )
        entries.append(_same(f"{ours}.{leaf}.bias", f"{source}.{theirs}.bias", width))
    return entries


def _mid(words: _Words, side: str, width: int) -> Iterator[Entry]:
    yield from _resnet(words, f"{side}.mid.res1", f"{side}.{words.mid_res[0]}", width, width)
    yield from _attention(words, f"{side}.mid.attn", f"{side}.{words.attention}", width)
    yield from _resnet(words, f"{side}.mid.res2", f"{side}.{words.mid_res[1]}", width, width)


def _levels(spec: VaeSpec, words: _Words, side: str) -> Iterator[Entry]:
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
            yield from _conv(f"{side}.levels.{i}.{resample}.conv", source, cout, cout, 3)


def _side(spec: VaeSpec, words: _Words, side: str) -> list[Entry]:
    first, last = spec.block_channels[0], spec.block_channels[-1]
    encoder = side == "encoder"
    into = (spec.channels, first) if encoder else (spec.latent_channels, last)
    out = (last, 2 * spec.latent_channels) if encoder else (first, spec.channels)
    return [
        *_conv(f"{side}.conv_in", f"{side}.conv_in", *into, 3),
        *_levels(spec, words, side),
        *_mid(words, side, last),
        *_norm(f"{side}.norm_out", f"{side}.{words.norm_out}", out[0]),
        *_conv(f"{side}.conv_out", f"{side}.conv_out", *out, 3),
    ]
