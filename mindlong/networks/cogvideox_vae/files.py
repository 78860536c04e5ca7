"""Files of CogVideoX's autoencoder: how they are recognised, and its sizes read off them."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from mindlong.networks.cogvideox_vae.keys import FAMILY
from mindlong.networks.cogvideox_vae.names import LAYOUTS, WORDS, names
from mindlong.networks.cogvideox_vae.spec import VideoVaeSpec
from mindlong.networks.format import Format, Inferred, Shapes, largest_divisor, layers_of, size
from mindlong.networks.their_config import natural, refuse_others

ONLY = {  # keys of diffusers' config.json that change no name, and the values that are built here
    "act_fn": ("silu", "swish"),
    "use_quant_conv": (False,),
    "use_post_quant_conv": (False,),
    "shift_factor": (None, 0),
    "latents_mean": (None,),
    "latents_std": (None,),
    "invert_scale_latents": (False,),
}
FREE = ("groups", "eps", "time", "scaling", "float32")  # not said by shapes


def format_of(layout: str) -> Format:
    """One way of naming the tensors."""
    words = WORDS[layout]
    inside = "first_stage_model." if layout == "sat" else ""
    return Format(
        layout=layout,
        markers=(
            "encoder.conv_in.conv.weight",
            f"decoder.{words.middle(0)}.norm1.conv_y.conv.weight",
            f"encoder.{words.block('encoder', 0, 1, 0)}.conv1.conv.weight",
        ),
        infer=functools.partial(_infer, layout),
        entries=functools.partial(names, layout=layout),
        config=_config,
        together=inside,
        ignored=(r"(.*\.)?loss\..*",),
    )


def _infer(layout: str, shapes: Shapes, overrides: Mapping[str, Any]) -> Inferred:
    words = WORDS[layout]

    def conv(level: str | int, block: str | int) -> str:
        return f"encoder.{words.block('encoder', level, 0, block)}.conv1.conv.weight"

    levels = layers_of(shapes, conv("{}", "0"))
    channels = tuple(size(shapes, conv(str(i), "0"), 0) for i in range(levels))
    found = {
        "channels": size(shapes, "encoder.conv_in.conv.weight", 1),
        "latent_channels": size(shapes, "decoder.conv_in.conv.weight", 1),
        "block_channels": channels,
        "layers": layers_of(shapes, conv("0", "{}")),
        "groups": largest_divisor(channels, 32),
    }
    return Inferred(VideoVaeSpec(**{**found, **{k: v for k, v in overrides.items() if k in FREE}}))


def section(spec: VideoVaeSpec) -> dict[str, Any]:
    """The keys of a model section; what has its usual value is left out."""
    usual = asdict(VideoVaeSpec())
    changed = {k: v for k, v in asdict(spec).items() if v != usual[k]}
    listed = {k: list(v) if isinstance(v, tuple) else v for k, v in changed.items()}
    return {"family": FAMILY, **listed}


def _config(config: Mapping[str, Any]) -> dict[str, Any]:
    refuse_others(config, ONLY)
    found: dict[str, Any] = {}
    for ours, theirs in (("groups", "norm_num_groups"), ("time", "temporal_compression_ratio")):
        value = config.get(theirs, 0)
        if natural(config, theirs) or (type(value) is float and value.is_integer() and value > 0):
            found[ours] = int(value)
    for ours, theirs in (("scaling", "scaling_factor"), ("eps", "norm_eps")):
        value = config.get(theirs, 0)
        if type(value) in (int, float) and value > 0:
            found[ours] = float(value)
    return found


FORMATS = tuple(format_of(layout) for layout in LAYOUTS)
