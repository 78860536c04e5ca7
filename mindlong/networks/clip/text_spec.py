"""The text towers of CLIP (ViT-L/14) and OpenCLIP (ViT-H/14), as a spec and as a list of tensor
names.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import prod

from mindlong.networks.names import Entry
from mindlong.utils.errors import ConfigError, did_you_mean

LAYOUTS = ("transformers", "open_clip")
ACTIVATIONS = ("quick_gelu", "gelu")
IGNORED = (
    r"visual\..*",
    r"vision_model\..*",
    r"(.*\.)?position_ids",
    r"logit_scale",
    r"text_projection(\.weight)?",
    r"visual_projection\.weight",
    r"attn_mask",
    r"input_resolution",
    r"context_length",
    r"vocab_size",
)  # in files, not in the network


@dataclass(frozen=True)
class ClipTextSpec:
    """What the text tower is made of.

    Attributes:
        vocabulary: number of tokens.
        width: channels of a token; a multiple of `heads`.
        layers: transformer layers that the network holds.
        skip_last: 1 leaves the last layer unused: what OpenCLIP calls penultimate, for files that
            carry all 24
        layers. The
            usual 23-layer form of the same network holds 23 layers and skips none.
        heads: attention heads.
        hidden: channels inside the feed-forward.
        length: tokens of a prompt, start and end included.
        activation: "quick_gelu" (x sigmoid(1.702 x), OpenAI's weights) or "gelu" (exact,
            OpenCLIP's).
        eps: of every LayerNorm.
        pad_id: the token that fills a prompt up to `length`; it differs by family and is part of
            the condition.

    Raises:
        ConfigError: a field out of its range.
    """

    vocabulary: int = 49408
    width: int = 768
    layers: int = 12
    skip_last: int = 0
    heads: int = 12
    hidden: int = 3072
    length: int = 77
    activation: str = "quick_gelu"
    eps: float = 1e-5
    pad_id: int = 49407

    def __post_init__(self) -> None:
        if self.width % self.heads:
            raise ConfigError(
                f"width is {self.width}; it must be a multiple of heads ({self.heads})."
            )
        if self.activation not in ACTIVATIONS:
            raise ConfigError(
                f"activation is {self.activation!r}.{did_you_mean(self.activation, ACTIVATIONS)}"
            )
        if not 0 <= self.skip_last < self.layers:
            raise ConfigError(
                f"skip_last is {self.skip_last}; it must be at least 0 and below layers ({self.layers})."
            )


VIT_L = ClipTextSpec()
VIT_H = ClipTextSpec(width=1024, layers=23, heads=16, hidden=4096, activation="gelu", pad_id=0)
VIT_H_ALL_LAYERS = replace(VIT_H, layers=24, skip_last=1)


def names(
    spec: ClipTextSpec, layout: str = "transformers", prefix: str | None = None
) -> list[Entry]:
    """One entry for each tensor of the text tower.

    Args:
        layout: "transformers" (CLIPTextModel) or "open_clip" (query, key and value in one tensor).
        prefix: what stands before every source key; None is the layout's own ("text_model." or "").
            Other customs: "cond_stage_model.transformer.text_model." (SD 1.x files),
                "cond_stage_model.model." (SD 2.x,
            VideoCrafter2).
    """
    if layout not in LAYOUTS:
        raise ConfigError(
            f"There is no text tower layout {layout!r}.{did_you_mean(layout, LAYOUTS)}"
        )
    walk, custom = (_transformers, "text_model.") if layout == "transformers" else (_open_clip, "")
    prefix = custom if prefix is None else prefix
    return [replace(entry, source=prefix + entry.source) for entry in walk(spec)]


def unused(spec: ClipTextSpec, layout: str = "open_clip") -> str:
    """A pattern for the keys of layers that a file may hold beyond the network's, for instance the
    24th of OpenCLIP.
    """
    stem = "resblocks" if layout == "open_clip" else "encoder.layers"
    return rf".*{stem}\.({'|'.join(str(i) for i in range(spec.layers, spec.layers + 9))})\..*"


def parameter_count(spec: ClipTextSpec) -> int:
    """Numbers in the text tower."""
    return sum(prod(entry.our_shape) for entry in names(spec))


def _same(ours: str, source: str, *shape: int) -> Entry:
    return Entry(ours, source, shape, shape)


def _pair(ours: str, source: str, *shape: int) -> list[Entry]:
    """A weight of `shape` and the bias of its rows."""
    return [
        _same(f"{ours}.weight", f"{source}.weight", *shape),
        _same(f"{ours}.bias", f"{source}.bias", shape[0]),
    ]


def _embeddings(spec: ClipTextSpec, token: str, position: str) -> list[Entry]:
    return [
        _same("token_embedding.weight", token, spec.vocabulary, spec.width),
        _same("position_embedding", position, spec.length, spec.width),
    ]


def _transformers(spec: ClipTextSpec) -> Iterator[Entry]:
    yield from _embeddings(
        spec, "embeddings.token_embedding.weight", "embeddings.position_embedding.weight"
    )
    for i in range(spec.layers):
        ours, source = f"layers.{i}", f"encoder.layers.{i}"
        for leaf in "qkv":
            yield from _pair(
                f"{ours}.attn.to_{leaf}", f"{source}.self_attn.{leaf}_proj", spec.width, spec.width
            )
        yield from _pair(
            f"{ours}.attn.to_out", f"{source}.self_attn.out_proj", spec.width, spec.width
        )
        yield from _rest(spec, ours, source, ("layer_norm1", "layer_norm2", "mlp.fc1", "mlp.fc2"))
    yield from _pair("final_norm", "final_layer_norm", spec.width)


def _open_clip(spec: ClipTextSpec) -> Iterator[Entry]:
    yield from _embeddings(spec, "token_embedding.weight", "positional_embedding")
    for i in range(spec.layers):
        ours, source = f"layers.{i}", f"transformer.resblocks.{i}"
        yield from fused(
            f"{ours}.attn", f"{source}.attn.in_proj_weight", "weight", spec.width, (spec.width,)
        )
        yield from fused(f"{ours}.attn", f"{source}.attn.in_proj_bias", "bias", spec.width, ())
        yield from _pair(f"{ours}.attn.to_out", f"{source}.attn.out_proj", spec.width, spec.width)
        yield from _rest(spec, ours, source, ("ln_1", "ln_2", "mlp.c_fc", "mlp.c_proj"))
    yield from _pair("final_norm", "ln_final", spec.width)


def fused(ours: str, source: str, leaf: str, width: int, rest: tuple[int, ...]) -> Iterator[Entry]:
    """Query, key and value projection as open_clip stacks them on axis 0 of one tensor."""
    for place, letter in enumerate("qkv"):
        rows = (place * width, (place + 1) * width)
        yield Entry(
            f"{ours}.to_{letter}.{leaf}", source, (width, *rest), (3 * width, *rest), rows=rows
        )


def _rest(
    spec: ClipTextSpec, ours: str, source: str, words: tuple[str, str, str, str]
) -> Iterator[Entry]:
    yield from _pair(f"{ours}.norm1", f"{source}.{words[0]}", spec.width)
    yield from _pair(f"{ours}.norm2", f"{source}.{words[1]}", spec.width)
    yield from _pair(f"{ours}.fc1", f"{source}.{words[2]}", spec.hidden, spec.width)
    yield from _pair(f"{ours}.fc2", f"{source}.{words[3]}", spec.width, spec.hidden)
