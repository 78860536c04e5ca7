"""The picture tower of CLIP with the projections of both towers, as a spec and as a list of tensor names (arXiv 2103.00020)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from mindlong.spec.names import Entry
from mindlong.utils.errors import ConfigError

LAYER = (("norm1", "layer_norm1"), ("fc1", "mlp.fc1"), ("norm2", "layer_norm2"), ("fc2", "mlp.fc2"))
HEAD = 64  # width of a head in every published tower but ViT-H/14's, whose config.json says 80


@dataclass(frozen=True)
class ClipVisionSpec:
    """What the picture tower is made of; the defaults are CLIP ViT-B/32's, which the field's video metrics use.

    Attributes:
        size: pixels of a side of the picture; a multiple of `patch`.
        patch: pixels of a side of a patch.
        width, layers, heads, hidden: as in `mindlong.spec.clip_text`.
        projection: numbers in the embedding that pictures and texts share.
        text_width: width of the text tower beside it.
        activation, eps: as in `mindlong.spec.clip_text`.

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

    def __post_init__(self) -> None:
        if self.width % self.heads:
            raise ConfigError(f"width is {self.width}; it must be a multiple of heads ({self.heads}).")
        if self.size % self.patch:
            raise ConfigError(f"size is {self.size}; it must be a multiple of patch ({self.patch}).")

    @property
    def length(self) -> int:
        """Tokens of a picture: its patches, and one for the whole."""
        return (self.size // self.patch) ** 2 + 1


def names(spec: ClipVisionSpec) -> list[Entry]:
    """One entry for each tensor: ours, and that of transformers' CLIPModel."""
    return list(_walk(spec))


def infer(shapes: Mapping[str, tuple[int, ...]], config: Mapping[str, object]) -> ClipVisionSpec:
    """The spec of a CLIPModel's file.

    Args:
        shapes: key -> shape.
        config: the `vision_config` of its config.json, or nothing; it tells heads and activation.

    Raises:
        ConfigError: there is no whole picture tower.
    """
    patches, places = "vision_model.embeddings.patch_embedding.weight", "vision_model.embeddings.position_embedding.weight"
    inner = "vision_model.encoder.layers.0.mlp.fc1.weight"
    for key in (patches, places, inner, "visual_projection.weight", "text_projection.weight"):
        if key not in shapes:
            raise ConfigError(f"the file has no {key}, so it is not a whole CLIPModel as transformers writes it")
    width, _, patch, _ = shapes[patches]
    layers = sum(f"vision_model.encoder.layers.{i}.layer_norm1.weight" in shapes for i in range(128))
    projection, text_width = shapes["text_projection.weight"]
    size = round((shapes[places][0] - 1) ** 0.5) * patch
    heads = config.get("num_attention_heads") or max(width // HEAD, 1)
    return ClipVisionSpec(size, patch, width, layers, int(heads), shapes[inner][0], projection,
                          text_width, str(config.get("hidden_act") or "quick_gelu"))


def _pair(ours: str, source: str, *shape: int) -> list[Entry]:
    rows = shape[:1]
    return [Entry(f"{ours}.weight", f"{source}.weight", shape, shape), Entry(f"{ours}.bias", f"{source}.bias", rows, rows)]


def _walk(spec: ClipVisionSpec) -> Iterator[Entry]:
    base, width = "vision_model", spec.width
    for ours, source, shape in (("class_embedding", "class_embedding", (width,)),
                                ("patch_embedding.weight", "patch_embedding.weight", (width, 3, spec.patch, spec.patch)),
                                ("position_embedding", "position_embedding.weight", (spec.length, width))):
        yield Entry(ours, f"{base}.embeddings.{source}", shape, shape)
    yield from _pair("norm_in", f"{base}.pre_layrnorm", width)  # spelled so
    for i in range(spec.layers):
        ours, source = f"layers.{i}", f"{base}.encoder.layers.{i}"
        for leaf in "qkv":
            yield from _pair(f"{ours}.attn.to_{leaf}", f"{source}.self_attn.{leaf}_proj", width, width)
        yield from _pair(f"{ours}.attn.to_out", f"{source}.self_attn.out_proj", width, width)
        shapes = {"norm1": (width,), "norm2": (width,), "fc1": (spec.hidden, width), "fc2": (width, spec.hidden)}
        for word, theirs in LAYER:
            yield from _pair(f"{ours}.{word}", f"{source}.{theirs}", *shapes[word])
    yield from _pair("final_norm", f"{base}.post_layernorm", width)
    for ours, source, read in (("projection", "visual_projection", width), ("text_projection", "text_projection", spec.text_width)):
        yield Entry(f"{ours}.weight", f"{source}.weight", (spec.projection, read), (spec.projection, read))
