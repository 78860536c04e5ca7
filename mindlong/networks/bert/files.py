"""Files of BERT's encoder: how they are recognised, and its sizes read off them."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from mindlong.networks.bert.keys import FAMILY
from mindlong.networks.bert.names import BLOCK, FIRST, NORMS, names
from mindlong.networks.bert.spec import BertSpec
from mindlong.networks.format import Format, Inferred, Shapes, layers_of, size

IGNORED = (
    r"pooler\..*",
    r"cls\..*",
    r"classifier\..*",
    r"qa_outputs\..*",
    r"(.*\.)?embeddings\.(position_ids|token_type_ids)",
)  # in files, not in the encoder: its heads, and numbers that are computed
HEADS = {384: 12, 312: 12, 256: 4, 128: 2}  # width -> heads of published small ones; others 64 wide
_INNER = f"{BLOCK}.intermediate.dense.weight"
_FREE = ("heads", "activation", "eps", "pad_id", "length")


def format_of(layout: str) -> Format:
    """One way of naming the tensors."""
    return Format(
        layout=layout,
        markers=(
            FIRST,
            f"embeddings.LayerNorm.{NORMS[layout][0]}",
            f"{BLOCK.format(0)}.attention.self.query.weight",
        ),
        infer=_infer,
        entries=functools.partial(names, layout=layout),
        config=_config,
        together="text_encoder.",
        ignored=tuple(rf"(.*\.)?{pattern}" for pattern in IGNORED),
    )


def _infer(shapes: Shapes, overrides: Mapping[str, Any]) -> Inferred:
    width, places = size(shapes, FIRST, 1), "embeddings.position_embeddings.weight"
    found = {
        "vocabulary": size(shapes, FIRST, 0),
        "width": width,
        "layers": layers_of(shapes, _INNER),
        "hidden": size(shapes, _INNER.format(0), 0),
        "positions": size(shapes, places, 0),
        "types": size(shapes, "embeddings.token_type_embeddings.weight", 0),
        "heads": HEADS.get(width, max(width // 64, 1)),
        "length": min(64, size(shapes, places, 0)),
    }
    given = {name: value for name, value in overrides.items() if name in _FREE}
    notes: tuple[str, ...] = ()
    if "heads" not in given:
        notes = (
            f"nothing beside the weights says how many heads there are: heads={found['heads']} is taken",
        )
    return Inferred(BertSpec(**{**found, **given}), notes)


def section(spec: BertSpec) -> dict[str, Any]:
    """The keys of a model section; what has its usual value is left out."""
    usual = asdict(BertSpec())
    return {"family": FAMILY, **{k: v for k, v in asdict(spec).items() if v != usual[k]}}


def _config(config: Mapping[str, Any]) -> dict[str, Any]:
    """What transformers' config.json says beyond the shapes."""
    found: dict[str, Any] = {}
    for ours, theirs in (("heads", "num_attention_heads"), ("pad_id", "pad_token_id")):
        if isinstance(config.get(theirs), int):
            found[ours] = config[theirs]
    if isinstance(config.get("layer_norm_eps"), float):
        found["eps"] = config["layer_norm_eps"]
    act = config.get("hidden_act")
    if act is not None:
        found["activation"] = "gelu_new" if act == "gelu_pytorch_tanh" else str(act)
    return found
