"""Files of CLIP's text encoders: how they are recognised, and their sizes read off them."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

from mindlong.networks.clip.keys import TEXT
from mindlong.networks.clip.text_names import WORDS, names
from mindlong.networks.clip.text_spec import ACTIVATIONS, ClipTextSpec
from mindlong.networks.format import Format, Inferred, Shapes, layers_of, size
from mindlong.networks.their_config import natural, refuse_others

LEGACY = (0, 2)  # start and end in configs of transformers before 4.31, which nothing read
HEAD = 64  # width of a head in every published text encoder
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


def format_of(layout: str, **facts: Any) -> Format:
    """One way of naming the tensors; `facts` are further fields of Format."""
    words = WORDS[layout]
    return Format(
        layout=layout,
        markers=(words.token, f"{words.block.format(0)}.{words.query}", f"{words.last}.weight"),
        infer=functools.partial(_infer, layout),
        entries=functools.partial(names, layout=layout, prefix=""),
        config=_config,
        prefix=words.custom,
        inner=words.custom,
        ignored=tuple(rf"(.*\.)?{pattern}" for pattern in IGNORED),
        **facts,
    )


def _infer(layout: str, shapes: Shapes, overrides: Mapping[str, Any]) -> Inferred:
    words = WORDS[layout]
    inner = f"{words.block}.{words.rest[2]}.weight"
    width, layers = size(shapes, words.token, 1), layers_of(shapes, inner)
    quick = layout == "transformers" and width == 768
    found = {
        "vocabulary": size(shapes, words.token, 0),
        "width": width,
        "layers": layers,
        "hidden": size(shapes, inner.format(0), 0),
        "length": size(shapes, words.position, 0),
        "heads": max(width // HEAD, 1),
        "skip_last": 1 if layers == 24 else 0,
        "activation": "quick_gelu" if quick else "gelu",
        "pad_id": 49407 if quick else 0,
    }
    free = ("heads", "activation", "pad_id", "eps", "skip_last")
    spec = ClipTextSpec(**{**found, **{k: v for k, v in overrides.items() if k in free}})
    notes = (
        ("all 24 layers are kept, the last is not used (OpenCLIP's penultimate)",)
        if spec.skip_last
        else ()
    )
    return Inferred(spec, notes)


def used(spec: ClipTextSpec) -> tuple[ClipTextSpec, tuple[str, ...]]:
    """transformers runs every layer that it holds, so that an unused one is left out."""
    kept = replace(spec, layers=spec.layers - spec.skip_last, skip_last=0)
    return kept, tuple(f"*layers.{i}.*" for i in range(kept.layers, spec.layers))


def section(spec: ClipTextSpec) -> dict[str, Any]:
    """The keys of a model section; what has its usual value is left out."""
    usual = asdict(ClipTextSpec())
    return {"family": TEXT, **{k: v for k, v in asdict(spec).items() if v != usual[k]}}


def _config(config: Mapping[str, Any]) -> dict[str, Any]:
    """What transformers' config.json says beyond the shapes."""
    refuse_others(config, {"hidden_act": ACTIVATIONS})
    found = {}
    if natural(config, "num_attention_heads"):
        found["heads"] = config["num_attention_heads"]
    if config.get("hidden_act") is not None:
        found["activation"] = config["hidden_act"]
    if isinstance(config.get("layer_norm_eps"), float):
        found["eps"] = config["layer_norm_eps"]
    ends = (config.get("bos_token_id"), config.get("eos_token_id"))
    if type(config.get("pad_token_id")) is int and ends != LEGACY:
        found["pad_id"] = config["pad_token_id"]
    return found
