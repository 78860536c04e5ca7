"""The text towers of CLIP and OpenCLIP, which the latent families share, under the names of
transformers and open_clip.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from typing import Any

from mindlong.networks.clip.text_spec import IGNORED, ClipTextSpec, names
from mindlong.networks.kind import Inferred, Kind, Shapes, size, spec_of

FAMILY = "clip_text"
HEAD = 64  # width of a head in every published tower
_MARKERS = {
    "transformers": (
        "embeddings.token_embedding.weight",
        "encoder.layers.0.self_attn.q_proj.weight",
        "final_layer_norm.weight",
    ),
    "open_clip": (
        "token_embedding.weight",
        "transformer.resblocks.0.attn.in_proj_weight",
        "ln_final.weight",
    ),
}
_OURS = ("token_embedding.weight", "layers.0.attn.to_q.weight", "final_norm.weight")


def kinds() -> Iterator[Kind]:
    """One kind for each way of naming the tensors."""
    for layout, markers in _MARKERS.items():
        yield Kind(
            family=FAMILY,
            part="text_encoder",
            layout=layout,
            about="a text tower of CLIP",
            markers=markers,
            infer=functools.partial(_infer, layout),
            entries=functools.partial(names, layout=layout, prefix=""),
            section=section,
            from_section=spec_of,
            config=_config,
            prefix="text_model." if layout == "transformers" else "",
            ignored=tuple(rf"(.*\.)?{pattern}" for pattern in IGNORED),
            our_markers=_OURS,
            trim=_used if layout == "transformers" else _whole,
            shared=True,
        )


def _infer(layout: str, shapes: Shapes, wishes: Mapping[str, Any]) -> Inferred:
    transformers = layout == "transformers"
    block = "encoder.layers.{}" if transformers else "transformer.resblocks.{}"
    token = _MARKERS[layout][0]
    width, layers = size(shapes, token, 1), 0
    while f"{block.format(layers)}.{'mlp.fc1' if transformers else 'mlp.c_fc'}.weight" in shapes:
        layers += 1
    hidden = size(
        shapes, f"{block.format(0)}.{'mlp.fc1' if transformers else 'mlp.c_fc'}.weight", 0
    )
    place = "embeddings.position_embedding.weight" if transformers else "positional_embedding"
    quick = transformers and width == 768
    found = {
        "vocabulary": size(shapes, token, 0),
        "width": width,
        "layers": layers,
        "hidden": hidden,
        "length": size(shapes, place, 0),
        "heads": max(width // HEAD, 1),
        "skip_last": 1 if layers == 24 else 0,
        "activation": "quick_gelu" if quick else "gelu",
        "pad_id": 49407 if quick else 0,
    }
    free = ("heads", "activation", "pad_id", "eps", "skip_last")
    spec = ClipTextSpec(**{**found, **{k: v for k, v in wishes.items() if k in free}})
    notes = (
        ("all 24 layers are kept, the last is not used (OpenCLIP's penultimate)",)
        if spec.skip_last
        else ()
    )
    return Inferred(spec, notes)


def _used(spec: ClipTextSpec) -> tuple[ClipTextSpec, tuple[str, ...]]:
    """transformers runs every layer that it holds, so that an unused one is left out."""
    used = replace(spec, layers=spec.layers - spec.skip_last, skip_last=0)
    return used, tuple(f"*layers.{i}.*" for i in range(used.layers, spec.layers))


def _whole(spec: ClipTextSpec) -> tuple[ClipTextSpec, tuple[str, ...]]:
    return spec, ()


def section(spec: ClipTextSpec) -> dict[str, Any]:
    """The keys of a model section; what has its usual value is left out."""
    usual = asdict(ClipTextSpec())
    return {"family": FAMILY, **{k: v for k, v in asdict(spec).items() if v != usual[k]}}


def _config(config: Mapping[str, Any]) -> dict[str, Any]:
    """What transformers' config.json says beyond the shapes."""
    found = {}
    if isinstance(config.get("num_attention_heads"), int):
        found["heads"] = config["num_attention_heads"]
    if config.get("hidden_act") in ("quick_gelu", "gelu"):
        found["activation"] = config["hidden_act"]
    return found
