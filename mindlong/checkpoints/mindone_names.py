"""mindone's checkpoints of Stable Diffusion and Tune-A-Video: MindSpore .ckpt with the tensors
of CompVis' files under other names. They are given the names of those files when they are
opened, so that every reader knows them.

    in_layers_norm.gamma, in_layers_conv.conv.weight    in_layers.0.weight, in_layers.2.weight
    skip_connection.conv, op.conv, conv.conv            skip_connection, op, conv
    every norm's gamma and beta                         weight and bias
    cond_stage_model.transformer.*                      OpenCLIP's names (2.x), or those of
                                                        transformers' CLIP (1.x, 768 wide), where
                                                        query, key and value part
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import partial

import numpy as np

from mindlong.checkpoints.lazy import Lazy

MARKS = re.compile(r"(.*\.)?(in_layers_norm\.gamma|cond_stage_model\.transformer\.embedding_table)")
_WORDS = tuple(
    (re.compile(pattern), with_)
    for pattern, with_ in (
        (r"\bin_layers_norm\b", "in_layers.0"),
        (r"\bin_layers_conv\.conv\b", "in_layers.2"),
        (r"\bout_layers_norm\b", "out_layers.0"),
        (r"\bout_layers_conv\.conv\b", "out_layers.3"),
        (r"\b(skip_connection|op|conv|input_blocks\.0\.0|out\.2)\.conv\.(weight|bias)$", r"\1.\2"),
        (r"\.gamma$", ".weight"),
        (r"\.beta$", ".bias"),
    )
)
_TEXT = re.compile(r"(.*\.)?cond_stage_model\.transformer\.(.+)")
_LAYER = re.compile(r"transformer_layer\.resblocks\.(\d+)\.(.+)\.(weight|bias)")
_OPEN_CLIP = {"c_fc": "mlp.c_fc", "c_proj": "mlp.c_proj", "attn.attn.out_proj": "attn.out_proj"}
_TRANSFORMERS = {
    "c_fc": "mlp.fc1",
    "c_proj": "mlp.fc2",
    "attn.attn.out_proj": "self_attn.out_proj",
    "ln_1": "layer_norm1",
    "ln_2": "layer_norm2",
}
_TOPS = {  # name there -> open_clip's, transformers'
    "embedding_table": ("token_embedding.weight", "embeddings.token_embedding.weight"),
    "positional_embedding": ("positional_embedding", "embeddings.position_embedding.weight"),
    "ln_final.weight": ("ln_final.weight", "final_layer_norm.weight"),
    "ln_final.bias": ("ln_final.bias", "final_layer_norm.bias"),
}
_IN_PROJ = "attn.attn.in_proj"
CLIP_WIDTH = 768  # of the text encoder of Stable Diffusion 1.x


def is_mindone(names: Mapping[str, Lazy]) -> bool:
    """Whether a file's tensors are named so."""
    return any(MARKS.fullmatch(name) for name in names)


def renamed(rows: Mapping[str, Lazy]) -> dict[str, Lazy]:
    """The tensors of such a file under the names of CompVis' files, in the same order."""
    found: dict[str, Lazy] = {}
    for name, lazy in rows.items():
        found.update(_named(_plain(name), lazy, rows))
    return found


def _plain(name: str) -> str:
    """The name without what MindSpore and mindone's cells add."""
    for pattern, with_ in _WORDS:
        name = pattern.sub(with_, name)
    return name


def _named(name: str, lazy: Lazy, rows: Mapping[str, Lazy]) -> Iterator[tuple[str, Lazy]]:
    text = _TEXT.fullmatch(name)
    if not text:
        yield name, lazy
        return
    before, rest = text[1] or "", text[2]
    table = rows.get(f"{before}cond_stage_model.transformer.embedding_table")
    clip = table is not None and table.shape[-1] == CLIP_WIDTH
    custom = "transformer.text_model." if clip else "model."
    for leaf, part in _of_text(rest, lazy, clip):
        yield f"{before}cond_stage_model.{custom}{leaf}", part


def _of_text(rest: str, lazy: Lazy, clip: bool) -> Iterator[tuple[str, Lazy]]:
    layer = _LAYER.fullmatch(rest)
    if not layer:
        yield _TOPS[rest][clip] if rest in _TOPS else rest, lazy
        return
    number, inner, leaf = layer.groups()
    if not clip:
        block = f"transformer.resblocks.{number}"
        in_proj = inner == _IN_PROJ
        name = f"attn.in_proj_{leaf}" if in_proj else f"{_OPEN_CLIP.get(inner, inner)}.{leaf}"
        yield f"{block}.{name}", lazy
        return
    block = f"encoder.layers.{number}"
    if inner != _IN_PROJ:
        yield f"{block}.{_TRANSFORMERS.get(inner, inner)}.{leaf}", lazy
        return
    for place, letter in enumerate("qkv"):
        yield f"{block}.self_attn.{letter}_proj.{leaf}", _third(lazy, place)


def _third(lazy: Lazy, place: int) -> Lazy:
    rows = lazy.shape[0] // 3
    return Lazy((rows, *lazy.shape[1:]), lazy.dtype, partial(_rows, lazy, place * rows, rows))


def _rows(lazy: Lazy, first: int, count: int) -> np.ndarray:
    return lazy.get()[first : first + count]
