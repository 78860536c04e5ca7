"""What lies beside a CLIP's weights as open_clip writes them: open_clip_config.json, in the words
of transformers' config.json.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from mindlong.utils.errors import ConfigError, InputFileError
from mindlong.utils.text_file import read_text

NAME = "open_clip_config.json"
OPENAI = "input_resolution"  # a number that OpenAI's own files hold among the weights
_HEAD = 64  # width of a head where the file says nothing
_TOWER = {
    "image_size",
    "layers",
    "width",
    "patch_size",
    "head_width",
    "mlp_ratio",
    "patch_dropout",
    "output_tokens",
    "context_length",
    "vocab_size",
    "heads",
    "hf_tokenizer_name",
    "tokenizer_kwargs",
    "eos_id",
    "pad_id",
}  # read here, told by the shapes, or without effect
_USUAL = {"pool_type": ("tok", "argmax"), "pos_embed_type": ("learnable",)}
_PICTURES = {"interpolation": "bicubic", "resize_mode": "shortest"}


def read(path: Path) -> dict[str, dict[str, Any]]:
    """`vision_config` and `text_config` from the open_clip_config.json at `path`, or beside it;
    empty where there is none.

    Raises:
        InputFileError: it is damaged, or describes something that is not read here.
    """
    file = (path if path.is_dir() else path.parent) / NAME
    if not file.is_file():
        return {}
    content = _table(file)
    model = content.get("model_cfg", content)
    try:
        return _translated(model, content.get("preprocess_cfg") or {}, file)
    except (TypeError, AttributeError, ValueError, ZeroDivisionError) as error:
        raise InputFileError(f"{file} does not describe a model of open_clip ({error})") from None


def _table(file: Path) -> dict[str, Any]:
    try:
        content = json.loads(read_text(file))
    except (OSError, ValueError, RecursionError) as error:
        raise InputFileError(f"{file} is not readable JSON ({error})") from None
    if not isinstance(content, dict):
        raise InputFileError(f"{file} holds a {type(content).__name__}; it should be a table")
    return content


def _translated(
    model: Mapping[str, Any], pictures: Mapping[str, Any], file: Path
) -> dict[str, dict[str, Any]]:
    vision, text = model.get("vision_cfg") or {}, model.get("text_cfg") or {}
    for name, encoder in (("vision_cfg", vision), ("text_cfg", text)):
        for key, value in encoder.items():
            if value and key not in _TOWER and value not in _USUAL.get(key, ()):
                raise InputFileError(
                    f"{file}: {name}.{key} is {value!r}, and encoders of that kind are not read"
                )
    for key, value in _PICTURES.items():
        if pictures.get(key, value) != value:
            raise InputFileError(
                f"{file}: preprocess_cfg.{key} is {pictures[key]!r}; only {value!r} is read"
            )
    act = {"hidden_act": "quick_gelu" if model.get("quick_gelu") else "gelu"}
    heads = (
        {"num_attention_heads": int(vision["width"]) // int(vision.get("head_width") or _HEAD)}
        if vision.get("width")
        else {}
    )
    texts = {"num_attention_heads": int(text["heads"])} if text.get("heads") else {}
    return {"vision_config": act | heads | _normal(pictures), "text_config": act | texts}


def _normal(pictures: Mapping[str, Any]) -> dict[str, list[float]]:
    """Mean and deviation that images are normalised with; not every model has CLIP's own."""
    found = {
        f"image_{key}": [float(v) for v in pictures[key]]
        for key in ("mean", "std")
        if pictures.get(key)
    }
    if any(len(colours) != 3 for colours in found.values()):
        raise ValueError("mean and std have one number for each of three colours")
    return found


def activation(path: Path, keys: Iterable[str]) -> str:
    """What file and names tell of the activation where no configuration does.

    Raises:
        ConfigError: nothing.
    """
    if (
        OPENAI in {key.rsplit(".", 1)[-1] for key in keys}
        or "quickgelu" in f"{path.parent.name}/{path.name}".lower()
    ):
        return "quick_gelu"
    raise ConfigError(
        f"{path} does not tell its activation, and a wrong one gives wrong scores: put its {NAME} beside it, or give "
        "--activation quick_gelu (OpenAI's weights and models called quickgelu) or --activation gelu (all others)"
    )
