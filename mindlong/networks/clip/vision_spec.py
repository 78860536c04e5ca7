"""The image encoder of CLIP with the projections of both encoders, as a spec and as a list of
tensor names (arXiv 2103.00020).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from mindlong.networks.clip.text_names import LAYOUTS, fused
from mindlong.networks.clip.text_spec import ACTIVATIONS
from mindlong.networks.names import Entry, pair
from mindlong.utils.errors import ConfigError, did_you_mean

MEAN, DEVIATION = (
    (0.48145466, 0.4578275, 0.40821073),
    (0.26862954, 0.26130258, 0.27577711),
)  # of CLIP's training images
HEAD = {
    384: 64,
    512: 64,
    768: 64,
    896: 64,
    1024: 64,
    1280: 80,
    1408: 88,
    1664: 104,
    1792: 112,
}  # width -> that of a head
PATCHES = {
    "transformers": "vision_model.embeddings.patch_embedding.weight",
    "open_clip": "visual.conv1.weight",
}
_WORDS = {
    "transformers": ("layer_norm1", "mlp.fc1", "layer_norm2", "mlp.fc2"),
    "open_clip": ("ln_1", "mlp.c_fc", "ln_2", "mlp.c_proj"),
}
_OTHERS = (
    ("visual.layer1.", "a ResNet (visual.layer1...)"),
    ("visual.trunk.", "a network of timm (visual.trunk...)"),
    ("visual.attn_pool.", "one that pools by attention (visual.attn_pool...)"),
)


@dataclass(frozen=True)
class ClipVisionSpec:
    """What the image encoder is made of; the defaults are CLIP ViT-B/32's, which the field's video
    metrics use.

    Attributes:
        size: pixels of a side of the image; a multiple of `patch`.
        patch: pixels of a side of a patch.
        width, layers, heads, hidden: as in `mindlong.networks.clip.text_spec`.
        projection: numbers in the embedding that images and texts share.
        text_width: width of the text encoder beside it.
        activation, eps: as in `mindlong.networks.clip.text_spec`.
        mean, deviation: what images in [0, 1] are normalised with, for red, green and blue.

    Raises:
        ConfigError: a field out of its range.
    """

    size: int = 224
    patch: int = 32
    width: int = 768
    layers: int = 12
    heads: int = 12
    hidden: int = 3072
    projection: int = 512
    text_width: int = 512
    activation: str = "quick_gelu"
    eps: float = 1e-5
    mean: tuple[float, float, float] = MEAN
    deviation: tuple[float, float, float] = DEVIATION

    def __post_init__(self) -> None:
        if self.width % self.heads:
            raise ConfigError(
                f"width is {self.width}; it must be a multiple of heads ({self.heads})."
            )
        if self.size % self.patch:
            raise ConfigError(
                f"size is {self.size}; it must be a multiple of patch ({self.patch})."
            )
        if self.activation not in ACTIVATIONS:
            raise ConfigError(
                f"activation is {self.activation!r}.{did_you_mean(self.activation, ACTIVATIONS)}"
            )

    @property
    def length(self) -> int:
        """Tokens of an image: its patches, and one for the whole."""
        return (self.size // self.patch) ** 2 + 1


def names(spec: ClipVisionSpec, layout: str = "transformers", prefix: str = "") -> list[Entry]:
    """One entry for each tensor: ours, and that of the original.

    Args:
        layout: "transformers" (CLIPModel) or "open_clip" (query, key and value in one tensor, both
            projections transposed).
        prefix: what stands before every source key.
    """
    if layout not in LAYOUTS:
        raise ConfigError(
            f"There is no image encoder layout {layout!r}.{did_you_mean(layout, LAYOUTS)}"
        )
    walk = _transformers if layout == "transformers" else _open_clip
    return [replace(entry, source=prefix + entry.source) for entry in walk(spec)]


def layout_of(keys: Iterable[str]) -> tuple[str, str]:
    """The naming of a CLIP's file, and what stands before every key of its image encoder.

    Raises:
        ConfigError: no image encoder, or one that is no plain vision transformer.
    """
    keys = list(keys)
    for beginning, about in _OTHERS:
        if any(key.startswith(beginning) or f".{beginning}" in key for key in keys):
            raise ConfigError(
                f"the image encoder is {about}, and only vision transformers are read"
            )
    for layout, patches in PATCHES.items():
        for key in keys:
            if key == patches or key.endswith(f".{patches}"):
                return layout, key.removesuffix(patches)
    if any(key.endswith("transformer.resblocks.0.attn.in_proj_weight") for key in keys):
        raise ConfigError(
            f"the file has OpenCLIP's text encoder and no image encoder ({PATCHES['open_clip']} is missing)"
        )
    raise ConfigError(
        f"the file has neither {PATCHES['transformers']} nor {PATCHES['open_clip']}, so it is not a whole CLIPModel "
        "as transformers or open_clip writes it"
    )


def infer(
    shapes: Mapping[str, tuple[int, ...]],
    config: Mapping[str, object],
    layout: str = "transformers",
    prefix: str = "",
) -> ClipVisionSpec:
    """The spec of a CLIP's file.

    Args:
        shapes: key -> shape.
        config: what shapes do not tell, under the names of transformers' config.json and
            preprocessor_config.json: num_attention_heads, hidden_act, image_mean, image_std.
        layout, prefix: see `layout_of`.

    Raises:
        ConfigError: there is no whole image encoder, or nothing tells its heads.
    """
    shapes = {
        key.removeprefix(prefix): shape for key, shape in shapes.items() if key.startswith(prefix)
    }
    theirs = layout == "transformers"
    before, inner, *_ = _WORDS[layout]
    places, block, projected, first = _whole(shapes, layout, inner, prefix)
    width, _, patch, _ = shapes[PATCHES[layout]]
    layers = sum(f"{block}.{i}.{before}.weight" in shapes for i in range(128))
    if not theirs:
        _check_fused(shapes, width, layers, prefix)
    projection, text_width = shapes[projected] if theirs else reversed(shapes[projected])
    return ClipVisionSpec(
        round((shapes[places][0] - 1) ** 0.5) * patch,
        patch,
        width,
        layers,
        _heads(width, config, layout),
        shapes[first][0],
        projection,
        text_width,
        str(config.get("hidden_act") or ("quick_gelu" if theirs else "gelu")),
        mean=_colours(config.get("image_mean"), MEAN),
        deviation=_colours(config.get("image_std"), DEVIATION),
    )


def _whole(
    shapes: Mapping[str, tuple[int, ...]], layout: str, inner: str, prefix: str
) -> tuple[str, str, str, str]:
    """The keys of the places, of the blocks, of the text's projection, and of the first block's
    wide layer. Raises ConfigError where one of a whole CLIPModel is missing.
    """
    theirs = layout == "transformers"
    places = (
        "vision_model.embeddings.position_embedding.weight"
        if theirs
        else "visual.positional_embedding"
    )
    block = "vision_model.encoder.layers" if theirs else "visual.transformer.resblocks"
    first = f"{block}.0.{inner}.weight"
    ours = "visual_projection.weight" if theirs else "visual.proj"
    text = f"text_projection{'.weight' * theirs}"
    for key in (PATCHES[layout], places, first, ours, text):
        if key not in shapes:
            raise ConfigError(
                f"the file has no {prefix}{key}, so it is not a whole CLIPModel as {layout} writes it"
            )
    return places, block, text, first


def _colours(said: object, usual: tuple[float, float, float]) -> tuple[float, float, float]:
    """A number for each of red, green and blue."""
    if not isinstance(said, list | tuple) or not said:
        return usual
    if len(said) != 3:
        raise ConfigError(f"image_mean and image_std are three numbers each; there is {said}")
    return said[0], said[1], said[2]


def _heads(width: int, config: Mapping[str, object], layout: str) -> int:
    stated = config.get("num_attention_heads")
    if isinstance(stated, int) and stated:
        return stated
    if width in HEAD or layout == "transformers":
        return max(width // HEAD.get(width, 64), 1)
    raise ConfigError(
        f"the image encoder is {width} wide, which no published one is ({', '.join(map(str, HEAD))}), so its heads "
        "are unknown; an open_clip_config.json beside the file with vision_cfg.head_width tells them"
    )


def _check_fused(
    shapes: Mapping[str, tuple[int, ...]], width: int, layers: int, prefix: str
) -> None:
    for i in range(layers):
        for leaf, shape in (("weight", (3 * width, width)), ("bias", (3 * width,))):
            key = f"visual.transformer.resblocks.{i}.attn.in_proj_{leaf}"
            if shapes.get(key, shape) != shape:
                raise ConfigError(
                    f"{prefix}{key} is {list(shapes[key])}; query, key and value of an encoder {width} wide are "
                    f"{list(shape)}"
                )


def _embeddings(spec: ClipVisionSpec, whole: str, patches: str, places: str) -> Iterator[Entry]:
    for ours, source, shape in (
        ("class_embedding", whole, (spec.width,)),
        ("patch_embedding.weight", patches, (spec.width, 3, spec.patch, spec.patch)),
        ("position_embedding", places, (spec.length, spec.width)),
    ):
        yield Entry(ours, source, shape, shape)


def _rest(spec: ClipVisionSpec, ours: str, source: str, words: tuple[str, ...]) -> Iterator[Entry]:
    shapes = {
        "norm1": (spec.width,),
        "fc1": (spec.hidden, spec.width),
        "norm2": (spec.width,),
        "fc2": (spec.width, spec.hidden),
    }
    for (word, shape), theirs in zip(shapes.items(), words, strict=True):
        yield from pair(f"{ours}.{word}", f"{source}.{theirs}", *shape)


def _transformers(spec: ClipVisionSpec) -> Iterator[Entry]:
    base, width = "vision_model", spec.width
    yield from _embeddings(
        spec,
        f"{base}.embeddings.class_embedding",
        PATCHES["transformers"],
        f"{base}.embeddings.position_embedding.weight",
    )
    yield from pair("norm_in", f"{base}.pre_layrnorm", width)  # spelled so
    for i in range(spec.layers):
        ours, source = f"layers.{i}", f"{base}.encoder.layers.{i}"
        for leaf in "qkv":
            yield from pair(
                f"{ours}.attn.to_{leaf}", f"{source}.self_attn.{leaf}_proj", width, width
            )
        yield from pair(f"{ours}.attn.to_out", f"{source}.self_attn.out_proj", width, width)
        yield from _rest(spec, ours, source, _WORDS["transformers"])
    yield from pair("final_norm", f"{base}.post_layernorm", width)
    for ours, source, read in (
        ("projection", "visual_projection", width),
        ("text_projection", "text_projection", spec.text_width),
    ):
        yield Entry(
            f"{ours}.weight", f"{source}.weight", (spec.projection, read), (spec.projection, read)
        )


def _open_clip(spec: ClipVisionSpec) -> Iterator[Entry]:
    base, width = "visual", spec.width
    yield from _embeddings(
        spec, f"{base}.class_embedding", PATCHES["open_clip"], f"{base}.positional_embedding"
    )
    yield from pair("norm_in", f"{base}.ln_pre", width)
    for i in range(spec.layers):
        ours, source = f"layers.{i}", f"{base}.transformer.resblocks.{i}"
        yield from fused(f"{ours}.attn", f"{source}.attn.in_proj_weight", "weight", width, (width,))
        yield from fused(f"{ours}.attn", f"{source}.attn.in_proj_bias", "bias", width, ())
        yield from pair(f"{ours}.attn.to_out", f"{source}.attn.out_proj", width, width)
        yield from _rest(spec, ours, source, _WORDS["open_clip"])
    yield from pair("final_norm", f"{base}.ln_post", width)
    for ours, source, read in (
        ("projection", "visual.proj", width),
        ("text_projection", "text_projection", spec.text_width),
    ):
        yield Entry(
            f"{ours}.weight",
            source,
            (spec.projection, read),
            (read, spec.projection),
            transposed=True,
        )
