"""The latent UNets in the table of networks."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import numpy as np

from mindlong.diffusion.noising import Noising
from mindlong.diffusion.samplers.flavours import FLAVOURS
from mindlong.diffusion.schedules import (
    linear,
    scaled_linear,
    videocrafter_scale,
    zero_terminal_snr,
)
from mindlong.networks.network import Denoiser, Facts, Hub, Network
from mindlong.networks.unet import motion
from mindlong.networks.unet.cost import cost
from mindlong.networks.unet.families import FAMILIES, Family, alike
from mindlong.networks.unet.files import base_name, formats, fresh, our_markers, section
from mindlong.networks.unet.keys import UNetModel
from mindlong.networks.unet.lone import LONE
from mindlong.networks.unet.traffic import kept_bytes, sites

if TYPE_CHECKING:
    from mindlong.networks.unet.spec import UNetSpec


def hub_config(family: Family, spec: UNetSpec) -> dict[str, Any]:
    """The config.json that diffusers expects."""
    dims = "3D" if family.classes.network == "UNet3DConditionModel" else "2D"
    dims = "Motion" if family.moves else dims
    config = {
        "_class_name": family.classes.network,
        "act_fn": "silu",
        "attention_head_dim": _heads(family, spec),
        "block_out_channels": list(spec.channels),
        "cross_attention_dim": spec.context_dim,
        "down_block_types": [f"{'CrossAttn' * attends}DownBlock{dims}" for attends in spec.attends],
        "downsample_padding": 1,
        "in_channels": spec.in_channels,
        "layers_per_block": spec.layers,
        "mid_block_scale_factor": 1,
        "norm_eps": spec.eps,
        "norm_num_groups": spec.groups,
        "out_channels": spec.out_channels,
        "sample_size": family.classes.sample_size,
        "up_block_types": [
            f"{'CrossAttn' * attends}UpBlock{dims}" for attends in reversed(spec.attends)
        ],
    }
    if spec.guidance_dim:
        config["time_cond_proj_dim"] = spec.guidance_dim
    if family.moves:
        config.pop("attention_head_dim")  # that class has another word for it
        return {**config, **_of_motion(spec)}
    return config if family.classes.wide else {**config, **_of_2d(spec)}


def _of_motion(spec: UNetSpec) -> dict[str, Any]:
    stage, heads = motion.stage_in(spec), spec.head_of(0)[0]
    return {
        "motion_max_seq_length": stage.places,
        "motion_num_attention_heads": heads,
        "num_attention_heads": heads,
        "use_linear_projection": spec.linear_projection,
        "use_motion_mid_block": stage.mid,
    }


def _of_2d(spec: UNetSpec) -> dict[str, Any]:
    return {
        "center_input_sample": False,
        "flip_sin_to_cos": True,
        "freq_shift": 0,
        "upcast_attention": spec.upcast,
        "use_linear_projection": spec.linear_projection,
    }


def _heads(family: Family, spec: UNetSpec) -> int | list[int]:
    """attention_head_dim: the width of a head in diffusers' 3-D network, the number of heads in 2-D
    ones.
    """
    if family.classes.wide:
        return spec.head_of(0)[1]
    counts = [spec.head_of(i)[0] for i in range(len(spec.channels))]
    return counts[0] if len(set(counts)) == 1 else counts


def _takes(spec: UNetSpec) -> tuple[str, ...]:
    rate = ("fps",) if "fps" in spec.conditions else ()
    return ("context", *rate, *(("guidance",) if spec.guidance_dim else ()))


def _noising(family: Family, spec: UNetSpec, facts: Facts) -> Noising:
    if family.zero_snr:
        return Noising(zero_terminal_snr(scaled_linear()), "v", FLAVOURS[family.flavour])
    betas = linear(start=0.00085, end=0.012) if family.linear else scaled_linear()
    return Noising(betas, "eps", FLAVOURS[family.flavour])


def _scale(family: Family, spec: UNetSpec, facts: Facts) -> np.ndarray | None:
    return videocrafter_scale(base=family.scale) if family.scale else None


def _hub(family: Family) -> Hub | None:
    """diffusers has no class for networks that read images beside the prompt."""
    if family.images:
        return None
    classes = family.classes
    checker = (
        {"safety_checker": [None, None], "feature_extractor": [None, None]}
        if classes.pipeline == "StableDiffusionPipeline"
        else {}
    )
    return Hub(
        "diffusers",
        classes.network,
        functools.partial(hub_config, family),
        pipeline=classes.pipeline,
        index=checker,
    )


def _beside(family: Family) -> dict[str, str]:
    """Role -> the family that stands beside it."""
    usual = {"vae": "autoencoder_kl", "text_encoder": "clip_text"}
    return usual | (
        {"image_encoder": "clip_vision", "projector": "resampler"} if family.images else {}
    )


def _network(name: str, family: Family) -> Network:
    return Network(
        family=name,
        role="network",
        about=f"the UNet of {family.about}",
        keys=UNetModel,
        section=functools.partial(section, name, family),
        formats=formats(family),
        our_markers=our_markers(family),
        build="mindlong.networks.unet.cell:UNet",
        cost=cost,
        part="unet",
        base=family.base,
        base_name=base_name,
        fresh=fresh,
        hub=_hub(family),
        lone=LONE,
        alike=alike(name),
        denoiser=Denoiser(
            space="latent",
            takes=_takes,
            size=family.size,
            noising=functools.partial(_noising, family),
            signal_scale=functools.partial(_scale, family),
            sharded="mindlong.networks.unet.sharded_cell:ShardedUNet",
            sites=sites,
            kept=kept_bytes,
            features=frozenset() if family.images else family.features,
            images=family.images,
            usual=_beside(family),
            tuned_as=family.tuned_as,
        ),
    )


NETWORKS = tuple(_network(name, family) for name, family in FAMILIES.items())
