"""Files of CogVideoX's transformer: how they are recognised, its sizes read off them, and what its
relatives lack here.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from mindlong.networks.cogvideox.keys import FAMILY
from mindlong.networks.cogvideox.names import LAYOUTS, names
from mindlong.networks.cogvideox.spec import CogVideoXSpec
from mindlong.networks.format import Format, Inferred, Shapes, layers_of, size
from mindlong.networks.their_config import natural, refuse_others
from mindlong.utils.errors import InputFileError

WORDS = {  # by layout: patches, text, a head's norm, the timestep's linear, a block, the last linear
    "diffusers": (
        "patch_embed.proj",
        "patch_embed.text_proj",
        "transformer_blocks.{}.attn1.norm_q",
        "time_embedding.linear_1",
        "transformer_blocks.{}.norm1.norm",
        "proj_out",
    ),
    "sat": (
        "mixins.patch_embed.proj",
        "mixins.patch_embed.text_proj",
        "mixins.adaln_layer.query_layernorm_list.{}",
        "time_embed.0",
        "transformer.layers.{}.input_layernorm",
        "mixins.final_layer.linear",
    ),
}
ONLY = {  # keys of diffusers' config.json that change no name, and the values that are built here
    "activation_fn": ("gelu-approximate",),
    "timestep_activation_fn": ("silu",),
    "flip_sin_to_cos": (True,),
    "freq_shift": (0,),
    "attention_bias": (True,),
    "norm_elementwise_affine": (True,),
    "patch_bias": (True,),
    "time_position_encoding_type": ("3d_sine", "none", None),
}
IGNORED = (r"(.*\.)?mixins\.pos_embed\..*", r"(.*\.)?patch_embed\.pos_embedding_buffer")
WIDE, DEEP = 3072, 42  # CogVideoX-5B and its relatives
_LACKS = "; built here are CogVideoX-2B and CogVideoX-Fun-2B-InP"
RELATIVES = {  # a tensor that only they have -> what they are
    "ofs_embedding.linear_1.weight": "CogVideoX1.5-5B-I2V: rotary places, patches over two frames "
    "and an embedded offset are missing",
    "patch_embed.pos_embedding": "CogVideoX-5B-I2V: rotary places and the learned table beside "
    "them are missing",
}


def format_of(layout: str) -> Format:
    """One way of naming the tensors."""
    patch, text, head, time, block, last = WORDS[layout]
    prefix = "" if layout == "diffusers" else "model.diffusion_model."
    return Format(
        layout=layout,
        markers=tuple(
            f"{word.format(0)}.weight" for word in (text, head, time, block, last, patch)
        ),
        infer=functools.partial(_infer, layout),
        entries=functools.partial(names, layout=layout),
        config=_config,
        prefix=prefix,
        together=prefix,
        ignored=IGNORED,
    )


def _infer(layout: str, shapes: Shapes, overrides: Mapping[str, Any]) -> Inferred:
    patch, text, head, time, block, last = (f"{word}.weight" for word in WORDS[layout])
    width, head_dim = size(shapes, patch, 0), size(shapes, head.format(0), 0)
    layers = layers_of(shapes, block)
    _refuse_relatives(shapes, width, layers, flat=layout == "diffusers" and patch)
    given = {k: v for k, v in overrides.items() if k in _free()}
    side = given.get("patch", 2)
    out = size(shapes, last, 0) // side**2
    channels = size(shapes, patch, 1) // (side**2 if len(shapes[patch]) == 2 else 1)
    _refuse_channels(channels, out)
    found = {
        "heads": width // head_dim,
        "head_dim": head_dim,
        "layers": layers,
        "in_channels": channels,
        "out_channels": out,
        "patch": side,
        "time_dim": size(shapes, time, 0),
        "context_dim": size(shapes, text, 1),
        "places": "sines" if channels == out else "resized",
    }
    return Inferred(CogVideoXSpec(**{**found, **given}))


def _free() -> tuple[str, ...]:
    """Fields that shapes do not tell."""
    fixed = ("tokens", "sample", "spatial_scale", "temporal_scale", "eps", "float32")
    return ("patch", "places", *fixed)


def _refuse_relatives(shapes: Shapes, width: int, layers: int, flat: str | bool) -> None:
    """Raise InputFileError for the larger networks, whose tensors have the names of this one's."""
    for name, what in RELATIVES.items():
        if name in shapes:
            raise InputFileError(f"is {what}{_LACKS}")
    if flat and len(shapes[str(flat)]) == 2:
        raise InputFileError(
            f"is CogVideoX1.5-5B: rotary places and patches over two frames are missing{_LACKS}"
        )
    if (width, layers) == (WIDE, DEEP):
        raise InputFileError(
            f"is CogVideoX-5B (or a relative of its size): rotary places are missing{_LACKS}"
        )


def _refuse_channels(channels: int, out: int) -> None:
    if channels not in (out, 2 * out + 1):
        raise InputFileError(
            f"reads {channels} channels and predicts {out}: it is a relative of CogVideoX-2B that is "
            "given more (an image, a pose, a control video), and what makes its further channels is "
            f"missing{_LACKS}"
        )


def section(spec: CogVideoXSpec) -> dict[str, Any]:
    """The keys of a model section; what has its usual value is left out."""
    usual = asdict(CogVideoXSpec())
    changed = {k: v for k, v in asdict(spec).items() if v != usual[k]}
    listed = {k: list(v) if isinstance(v, tuple) else v for k, v in changed.items()}
    return {"family": FAMILY, **listed}


def _config(config: Mapping[str, Any]) -> dict[str, Any]:
    """What diffusers' config.json says beyond the shapes."""
    if config.get("use_rotary_positional_embeddings"):
        raise InputFileError(
            "config.json says use_rotary_positional_embeddings, which CogVideoX-5B and its relatives "
            f"have: rotary places are missing{_LACKS}"
        )
    refuse_others(config, ONLY)
    found: dict[str, Any] = {}
    for ours, theirs in (("tokens", "max_text_seq_length"), ("patch", "patch_size")):
        if natural(config, theirs):
            found[ours] = config[theirs]
    for ours, theirs in (
        ("spatial_scale", "spatial_interpolation_scale"),
        ("temporal_scale", "temporal_interpolation_scale"),
        ("eps", "norm_eps"),
    ):
        if type(config.get(theirs)) in (int, float):
            found[ours] = float(config[theirs])
    sizes = ("sample_frames", "sample_height", "sample_width")
    if all(natural(config, key) for key in sizes):
        frames, height, width = (config[key] for key in sizes)
        ratio = (
            config["temporal_compression_ratio"]
            if natural(config, "temporal_compression_ratio")
            else 4
        )
        found["sample"] = ((frames - 1) // ratio + 1, height, width)
    return found


FORMATS = tuple(format_of(layout) for layout in LAYOUTS)
