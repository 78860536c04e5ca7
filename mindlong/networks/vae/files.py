"""Files of AutoencoderKL: how they are recognised, and its sizes read off them."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import Any

from mindlong.networks.format import Format, Inferred, Shapes, largest_divisor, layers_of, size
from mindlong.networks.their_config import natural, refuse_others
from mindlong.networks.vae.keys import FAMILY
from mindlong.networks.vae.names import WORDS, Words, names
from mindlong.networks.vae.spec import VaeSpec

ONLY = {  # keys of diffusers' config.json that change no name, and the values that are built here
    "act_fn": ("silu", "swish"),
    "mid_block_add_attention": (True,),
    "shift_factor": (None, 0),
    "latents_mean": (None,),
    "latents_std": (None,),
}
IGNORED = (
    r"loss\..*",
    r"model_ema\..*",
    r"(en|de)coder\..*num_batches_tracked",
)  # in files, not in the network


def format_of(layout: str, **facts: Any) -> Format:
    """One way of naming the tensors; `facts` are further fields of Format."""
    words = WORDS[layout]
    query = f"decoder.{words.attention}.{words.attention_leaves[1]}.weight"
    return Format(
        layout=layout,
        markers=("post_quant_conv.weight", "encoder.conv_in.weight", query),
        infer=functools.partial(_infer, words),
        entries=functools.partial(names, layout=layout),
        config=_config,
        ignored=tuple(rf"(.*\.)?{pattern}" for pattern in IGNORED),
        **facts,
    )


def _infer(words: Words, shapes: Shapes, overrides: Mapping[str, Any]) -> Inferred:
    def first_conv(level: str | int, block: str | int) -> str:
        return f"encoder.{words.block('encoder', level, 0, block)}.conv1.weight"

    levels = layers_of(shapes, first_conv("{}", 0))
    channels = [size(shapes, first_conv(i, 0), 0) for i in range(levels)]
    found = {
        "channels": size(shapes, "encoder.conv_in.weight", 1),
        "latent_channels": size(shapes, "post_quant_conv.weight", 0),
        "block_channels": tuple(channels),
        "layers": layers_of(shapes, first_conv(0, "{}")),
        "groups": largest_divisor(channels, 32),
    }
    free = {f.name for f in fields(VaeSpec)} - set(found) | {"groups"}
    return Inferred(VaeSpec(**{**found, **{k: v for k, v in overrides.items() if k in free}}))


def section(spec: VaeSpec) -> dict[str, Any]:
    """The keys of a model section; what has its usual value is left out."""
    usual = asdict(VaeSpec())
    changed = {
        k: list(v) if isinstance(v, tuple) else v for k, v in asdict(spec).items() if v != usual[k]
    }
    return {"family": FAMILY, **changed}


def _config(config: Mapping[str, Any]) -> dict[str, Any]:
    refuse_others(config, ONLY)
    found = {"groups": config["norm_num_groups"]} if natural(config, "norm_num_groups") else {}
    scaling = config.get("scaling_factor")
    if isinstance(scaling, int | float) and not isinstance(scaling, bool) and scaling > 0:
        found["scaling"] = scaling
    return found
