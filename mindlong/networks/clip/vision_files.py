"""Files of CLIP's image encoders: how they are recognised, and their sizes read off them."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

from mindlong.networks.clip import vision_spec
from mindlong.networks.clip.keys import VISION
from mindlong.networks.clip.vision_spec import PATCHES, ClipVisionSpec, names
from mindlong.networks.format import Format, Inferred, Shapes
from mindlong.utils.errors import ConfigError, InputFileError

IGNORED = (
    r"text_model\..*",
    r"transformer\..*",
    r"(token_embedding\.weight|positional_embedding|ln_final\.(weight|bias))",
    r"(.*\.)?position_ids",
    r"logit_scale",
    r"attn_mask",
    r"(input_resolution|context_length|vocab_size)",
)  # in files, not in the network
_PLACES = {
    "transformers": "vision_model.pre_layrnorm.weight",
    "open_clip": "visual.ln_pre.weight",
}
_FREE = ("heads", "activation", "eps", "mean", "deviation")


def format_of(layout: str) -> Format:
    """One way of naming the tensors."""
    return Format(
        layout=layout,
        markers=(PATCHES[layout], _PLACES[layout]),
        infer=functools.partial(_infer, layout),
        entries=functools.partial(names, layout=layout),
        config=_config,
        ignored=tuple(rf"(.*\.)?{pattern}" for pattern in IGNORED),
    )


def _infer(layout: str, shapes: Shapes, overrides: Mapping[str, Any]) -> Inferred:
    heads = overrides.get("heads")
    try:
        found = vision_spec.infer(shapes, {"num_attention_heads": heads} if heads else {}, layout)
    except ConfigError as error:
        raise InputFileError(str(error)) from None
    return Inferred(replace(found, **{k: v for k, v in overrides.items() if k in _FREE}))


def section(spec: ClipVisionSpec) -> dict[str, Any]:
    """The keys of a model section; what has its usual value is left out."""
    usual = asdict(ClipVisionSpec())
    changed = {
        k: list(v) if isinstance(v, tuple) else v for k, v in asdict(spec).items() if v != usual[k]
    }
    return {"family": VISION, **changed}


def _config(config: Mapping[str, Any]) -> dict[str, Any]:
    """What transformers' config.json says beyond the shapes."""
    held = config.get("vision_config")
    held, found = held if isinstance(held, Mapping) else config, {}
    if isinstance(held.get("num_attention_heads"), int):
        found["heads"] = held["num_attention_heads"]
    if held.get("hidden_act") in ("quick_gelu", "gelu"):
        found["activation"] = held["hidden_act"]
    return found
