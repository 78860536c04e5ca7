"""AutoencoderKL, which the latent families share, under diffusers' names (new and old) and those of
the original.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from dataclasses import asdict, fields
from typing import Any

from mindlong.networks.kind import (
    Inferred,
    Kind,
    Shapes,
    largest_divisor,
    size,
    spec_of,
)
from mindlong.networks.vae.spec import IGNORED, LAYOUTS, VaeSpec, names

FAMILY = "autoencoder_kl"
_MID = {
    "diffusers": "decoder.mid_block.attentions.0.to_q.weight",
    "diffusers_old": "decoder.mid_block.attentions.0.query.weight",
    "ldm": "decoder.mid.attn_1.q.weight",
}


def kinds() -> Iterator[Kind]:
    """One kind for each way of naming the tensors."""
    for layout in LAYOUTS:
        yield Kind(
            family=FAMILY,
            part="vae",
            layout=layout,
            about="the autoencoder of Stable Diffusion",
            markers=("post_quant_conv.weight", "encoder.conv_in.weight", _MID[layout]),
            infer=functools.partial(
                _infer, "down.{}.block.{}" if layout == "ldm" else "down_blocks.{}.resnets.{}"
            ),
            entries=functools.partial(names, layout=layout),
            section=section,
            from_section=spec_of,
            config=_config,
            prefix="first_stage_model." if layout == "ldm" else "",
            ignored=tuple(rf"(.*\.)?{pattern}" for pattern in IGNORED),
            our_markers=(
                "post_quant_conv.weight",
                "decoder.mid.attn.to_q.weight",
                "encoder.levels.0.blocks.0.conv1.weight",
            ),
            shared=True,
        )


def _infer(block: str, shapes: Shapes, wishes: Mapping[str, Any]) -> Inferred:
    channels, layers, i = [], 0, 0
    while (key := f"encoder.{block.format(i, 0)}.conv1.weight") in shapes:
        channels.append(size(shapes, key, 0))
        i += 1
    while f"encoder.{block.format(0, layers)}.conv1.weight" in shapes:
        layers += 1
    found = {
        "channels": size(shapes, "encoder.conv_in.weight", 1),
        "latent_channels": size(shapes, "post_quant_conv.weight", 0),
        "block_channels": tuple(channels),
        "layers": layers,
        "groups": largest_divisor(channels, 32),
    }
    known = {f.name for f in fields(VaeSpec)}
    return Inferred(
        VaeSpec(
            **{**found, **{k: v for k, v in wishes.items() if k in known - set(found) | {"groups"}}}
        )
    )


def section(spec: VaeSpec) -> dict[str, Any]:
    """The keys of a model section; what has its usual value is left out."""
    usual = asdict(VaeSpec())
    changed = {
        k: list(v) if isinstance(v, tuple) else v for k, v in asdict(spec).items() if v != usual[k]
    }
    return {"family": FAMILY, **changed}


def _config(config: Mapping[str, Any]) -> dict[str, Any]:
    pairs = (("groups", "norm_num_groups"), ("scaling", "scaling_factor"))
    return {
        ours: config[theirs]
        for ours, theirs in pairs
        if isinstance(config.get(theirs), int | float)
    }
