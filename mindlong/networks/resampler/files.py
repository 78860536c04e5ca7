"""Files of the Resampler: how they are recognised, and its sizes read off them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from mindlong.networks.format import Format, Inferred, Shapes, largest_divisor, layers_of, size
from mindlong.networks.resampler.keys import FAMILY
from mindlong.networks.resampler.names import names
from mindlong.networks.resampler.spec import ResamplerSpec

_FIRST = "layers.0.0.to_kv.weight"
_FREE = ("heads", "head_dim", "eps")


def format_of() -> Format:
    """The one way of naming the tensors."""
    return Format(
        layout="",
        markers=(_FIRST, "layers.0.1.3.weight", "latents", "proj_in.weight"),
        infer=_infer,
        entries=names,
        prefix="image_proj_model.",
        together="image_proj_model.",
    )


def _infer(shapes: Shapes, overrides: Mapping[str, Any]) -> Inferred:
    inner, given = size(shapes, _FIRST, 0) // 2, dict(overrides)
    notes: tuple[str, ...] = ()
    if not {"heads", "head_dim"} & set(given):
        given["head_dim"] = largest_divisor([inner], 64)
        if inner % 64:
            notes = (
                "the file does not say how many heads the resampler has: "
                f"head_dim={given['head_dim']} is taken",
            )
    head = given.get("head_dim") or inner // given["heads"]
    found = {
        "tokens": size(shapes, "latents", 1),
        "width": size(shapes, "latents", 2),
        "layers": layers_of(shapes, "layers.{}.0.to_kv.weight"),
        "heads": inner // head,
        "head_dim": head,
        "hidden": size(shapes, "layers.0.1.1.weight", 0),
        "reads": size(shapes, "proj_in.weight", 1),
        "gives": size(shapes, "proj_out.weight", 0),
    }
    own = {name: value for name, value in given.items() if name in _FREE}
    return Inferred(ResamplerSpec(**{**found, **own}), notes)


def section(spec: ResamplerSpec) -> dict[str, Any]:
    """The keys of a model section; what has its usual value is left out."""
    usual = asdict(ResamplerSpec())
    return {"family": FAMILY, **{k: v for k, v in asdict(spec).items() if v != usual[k]}}
