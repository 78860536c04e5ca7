"""Files of T5's encoder: how they are recognised, and its sizes read off them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from mindlong.networks.format import Format, Inferred, Shapes, layers_of, size
from mindlong.networks.t5.keys import FAMILY
from mindlong.networks.t5.names import BIAS, BLOCK, SHARED, TIED, names
from mindlong.networks.t5.spec import T5Spec
from mindlong.networks.their_config import natural, refuse_others

IGNORED = (r"decoder\..*", r"lm_head\..*")  # the other half of a whole T5
QUERY = f"{BLOCK}.layer.0.SelfAttention.q.weight"
INNER = f"{BLOCK}.layer.1.DenseReluDense.wi_0.weight"
FREE = ("distance", "eps", "length", "pad_id")
ONLY = {  # keys of transformers' config.json that change no name, and the values that are built here
    "feed_forward_proj": ("gated-gelu",),
    "dense_act_fn": ("gelu_new",),
    "is_gated_act": (True,),
}


def format_of() -> Format:
    """The one way of naming the tensors."""
    return Format(
        layout="transformers",
        markers=(BIAS, INNER.format(0), "encoder.final_layer_norm.weight"),
        infer=_infer,
        entries=names,
        config=_config,
        together="text_encoder.",
        ignored=tuple(rf"(.*\.)?{pattern}" for pattern in IGNORED),
    )


def _infer(shapes: Shapes, overrides: Mapping[str, Any]) -> Inferred:
    table = SHARED if SHARED in shapes else TIED
    heads = size(shapes, BIAS, 1)
    found = {
        "vocabulary": size(shapes, table, 0),
        "width": size(shapes, table, 1),
        "layers": layers_of(shapes, QUERY),
        "heads": heads,
        "head_dim": size(shapes, QUERY.format(0), 0) // heads,
        "hidden": size(shapes, INNER.format(0), 0),
        "buckets": size(shapes, BIAS, 0),
    }
    return Inferred(T5Spec(**{**found, **{k: v for k, v in overrides.items() if k in FREE}}))


def section(spec: T5Spec) -> dict[str, Any]:
    """The keys of a model section; what has its usual value is left out."""
    usual = asdict(T5Spec())
    return {"family": FAMILY, **{k: v for k, v in asdict(spec).items() if v != usual[k]}}


def _config(config: Mapping[str, Any]) -> dict[str, Any]:
    """What transformers' config.json says beyond the shapes."""
    refuse_others(config, ONLY)
    found: dict[str, Any] = {}
    if natural(config, "relative_attention_max_distance"):
        found["distance"] = config["relative_attention_max_distance"]
    if type(config.get("pad_token_id")) is int:
        found["pad_id"] = config["pad_token_id"]
    if isinstance(config.get("layer_norm_epsilon"), float):
        found["eps"] = config["layer_norm_epsilon"]
    return found
