"""Files of the latent UNets: how they are recognised, and the `model` section of a network."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from dataclasses import fields
from typing import TYPE_CHECKING, Any

import numpy as np

from mindlong.networks.format import Format, no_facts
from mindlong.networks.their_config import natural, refuse_others
from mindlong.networks.unet import motion
from mindlong.networks.unet.families import FAMILIES, Family
from mindlong.networks.unet.list_names import listed
from mindlong.networks.unet.measure import Places, fits, infer
from mindlong.networks.unet.motion_names import tables
from mindlong.networks.unet.names import names
from mindlong.networks.unet.stage_spec import FRAMES, Transformer
from mindlong.utils.errors import InputFileError

if TYPE_CHECKING:
    from mindlong.networks.unet.spec import UNetSpec

FIXED = {"stages", "entry", "conditions", "joint", "pseudo3d", "zero"}  # not said by the names
IGNORED = (
    r"(.*\.)?(betas|alphas_cumprod|alphas_cumprod_prev|sqrt_\w+|log_\w+|posterior_\w+|logvar|scale_arr|scale_factor|"
    r"lvlb_weights|num_batches_tracked)",
    r".*\.(pos_encoder|pos_embed)\.pe",
    r"(.*\.)?model_ema\..*",
)
ONLY = {  # keys of diffusers' config.json that change no name, and the values that are built here
    "act_fn": ("silu", "swish"),
    "attention_type": ("default",),
    "center_input_sample": (False,),
    "conv_in_kernel": (3,),
    "conv_out_kernel": (3,),
    "cross_attention_norm": (None,),
    "dual_cross_attention": (False,),
    "flip_sin_to_cos": (True,),
    "freq_shift": (0,),
    "mid_block_scale_factor": (1,),
    "only_cross_attention": (False,),
    "resnet_out_scale_factor": (1,),
    "resnet_skip_time_act": (False,),
    "resnet_time_scale_shift": ("default",),
    "time_embedding_act_fn": (None,),
    "time_embedding_type": ("positional",),
    "timestep_post_act": (None,),
}
_MOTION_ONLY = {
    "temporal_transformer_layers_per_block": (1,),
    "transformer_layers_per_block": (1,),
    "mid_block_layers": (1,),
    "addition_embed_type": (None,),
    "time_cond_proj_dim": (None,),
}
_INSIDE = "model.diffusion_model."  # in the files of the latent diffusion lineage


def formats(family: Family) -> tuple[Format, ...]:
    """The ways in which files of a family name its tensors."""
    return tuple(_format(family, layout) for layout in family.layouts)


def _format(family: Family, layout: str) -> Format:
    places = Places(family, layout)
    inside = "" if layout in ("diffusers", "modelscope", "guoyww") else _INSIDE
    return Format(
        layout=layout,
        markers=(
            places.time,
            places.conv_in,
            places.text("to_q"),
            *family.own.get(layout, ()),
        ),
        infer=functools.partial(infer, family, places),
        fits=functools.partial(fits, family, places),
        entries=functools.partial(names, layout=layout),
        config=functools.partial(_config, family),
        prefix=inside,
        together=inside,
        file="" if layout in ("diffusers", "guoyww") else "text2video_pytorch_model.pth",
        ignored=IGNORED,
        facts=functools.partial(_facts, family) if family.images else no_facts,
        tables=functools.partial(tables, layout=layout),
        listed=listed if layout == "lvdm" else None,
    )


def _both_heads(config: Mapping[str, Any]) -> dict[str, tuple[Any, ...]]:
    """The keys of a network with motion modules that are built with one value only."""
    heads = config.get("num_attention_heads")
    return _MOTION_ONLY | ({"motion_num_attention_heads": (heads,)} if heads else {})


def _facts(family: Family, weights: Any, prefix: str) -> tuple[dict[str, str], tuple[str, ...]]:
    """The dynamic scale's last value, the only trace of which of several alike networks it is.

    Raises:
        InputFileError: it is another network's.
    """
    names = [name for name in weights if name.rpartition(".")[2] == "scale_arr"]
    if not names:
        return {}, ()
    last = float(np.asarray(weights.read(names[0])).reshape(-1)[-1])
    if abs(last - family.scale) > 1e-3:
        known = ", ".join(
            n for n, f in FAMILIES.items() if f.images and abs(f.scale - last) <= 1e-3
        )
        said = f"{family.scale:g}" if family.scale else "none"
        raise InputFileError(
            f"{weights.path}: {names[0]} ends at {last:g}, and {family.about} has {said}; "
            f"a file with {last:g} is one of {known or 'no network known here'}"
        )
    return {"scale": f"{last:g}"}, ()


def our_markers(family: Family) -> tuple[str, ...]:
    """Names of ours that all stand in a file with the family's network."""
    conv = "mid.0.res.conv1.spatial.weight" if family.spec().pseudo3d else "mid.0.res.conv1.weight"
    return (
        conv,
        "time_embedding.fc1.weight",
        "mid.0.spatial.block.attn2.to_q.weight",
        *family.own.get("", ()),
    )


def base_name(name: str) -> str | None:
    """Our name in the image model that a tensor of a video model starts from; None where it starts
    fresh.
    """
    if re.search(r"\.(attn|norm)_temp(oral)?\.|\.temporal\.(weight|bias)$|\.motion\.", name):
        return None
    return re.sub(r"\.spatial\.(weight|bias)$", r".\1", name)


def fresh(name: str, shape: tuple[int, ...]) -> str | np.ndarray:
    """The first value of a tensor that the image model has not (`Network.fresh`): attention over
    frames asks, and answers, as the one inside a frame does, and adds nothing yet; convolutions
    over frames let everything through.
    """
    asks = re.fullmatch(r"(.*\.)attn_temp(?:oral)?\.(to_[qkv]\.weight)", name)
    if asks:
        return f"{asks[1]}attn1.{asks[2]}"
    value = np.zeros(shape, np.float32)
    if name.endswith(".temporal.weight"):
        value[np.arange(shape[0]), np.arange(shape[0]), shape[2] // 2] = 1
    elif re.search(r"\.norm_temp(oral)?\.weight$", name):
        value[:] = 1
    return value


def section(name: str, family: Family, spec: UNetSpec) -> dict[str, Any]:
    """The keys of a model section: the sizes, without what makes the family."""
    usual = family.spec()
    held = {f.name: getattr(spec, f.name) for f in fields(spec) if f.name not in FIXED}
    if isinstance(spec.heads, int):
        held["heads"] = (spec.heads,)
    if spec.conditions != usual.conditions:
        held["conditions"] = spec.conditions
    held["joint"] = spec.joint
    described = motion.described(spec)
    if described:
        usual = family.spec(**motion.fields(described["version"]))
    changed = {
        k: list(v) if isinstance(v, tuple) else v for k, v in held.items() if v != getattr(usual, k)
    }
    reads = _reads(usual, spec)
    return {
        "family": name,
        **{k: v for k, v in described.items() if (k, v) != ("version", motion.USUAL)},
        **{k: v for k, v in changed.items() if v is not None},
        **({"reads": reads} if reads else {}),
    }


def _reads(usual: UNetSpec, spec: UNetSpec) -> dict[str, str]:
    """Key/value policies that are not the family's, by kind of attention, or by its name where a
    kind has several.
    """
    ours, theirs = (
        [
            b
            for s in (*x.stages, x.entry)
            if isinstance(s, Transformer)
            for b in s.branches
            if b.kind in FRAMES
        ]
        for x in (spec, usual)
    )
    found: dict[str, str] = {}
    if [b.name for b in ours] != [
        b.name for b in theirs
    ]:  # an image model as the start of a video model: its policies stay behind
        return found
    for kind in FRAMES:
        pairs = [(a, b) for a, b in zip(ours, theirs, strict=True) if a.kind == kind]
        policies = {a.reads for a, _ in pairs}
        if len(policies) == 1:
            found |= {kind: policies.pop()} if any(a.reads != b.reads for a, b in pairs) else {}
        else:
            found |= {a.name: a.reads for a, b in pairs if a.reads != b.reads}
    return found


def _config(family: Family, config: Mapping[str, Any]) -> dict[str, Any]:
    """What diffusers' config.json says beyond the shapes. Its attention_head_dim counts heads in
    2-D networks.
    """
    refuse_others(config, ONLY)
    found: dict[str, Any] = {}
    if family.moves:
        refuse_others(config, _both_heads(config))
        config = {"attention_head_dim": config.get("num_attention_heads"), **config}
        if natural(config, "motion_max_seq_length"):
            found["places"] = config["motion_max_seq_length"]
    heads, wide = config.get("attention_head_dim"), family.classes.wide
    if natural(config, "attention_head_dim"):
        found |= {"head_dim": heads, "heads": None} if wide else {"heads": heads, "head_dim": None}
    elif isinstance(heads, list) and all(type(n) is int and n > 0 for n in heads):
        widths = [w for w in config.get("block_out_channels") or () if type(w) is int]
        dims = {width // n for width, n in zip(widths, heads, strict=False)}
        found |= (
            {"heads": None, "head_dim": dims.pop()}
            if len(dims) == 1
            else {"heads": tuple(heads), "head_dim": None}
        )
    if natural(config, "time_cond_proj_dim"):
        found["guidance_dim"] = config["time_cond_proj_dim"]
    if natural(config, "norm_num_groups"):
        found["groups"] = config["norm_num_groups"]
    if isinstance(config.get("norm_eps"), float):
        found["eps"] = config["norm_eps"]
    if isinstance(config.get("upcast_attention"), bool):
        found["upcast"] = config["upcast_attention"]
    return found
