"""The config.json that diffusers and transformers expect beside weights, from our specs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mindlong.networks.clip.text_spec import ClipTextSpec
from mindlong.networks.unet.spec import UNetSpec
from mindlong.networks.vae.spec import VaeSpec

_UNET_CLASS = {
    "modelscope": "UNet3DConditionModel",
    "videocrafter2": "UNet3DConditionModel",
    "tune_a_video": "UNet3DConditionModel",
    "pseudo3d": "UNetPseudo3DConditionModel",
}
_PIPELINE = {
    "modelscope": "TextToVideoSDPipeline",
    "videocrafter2": "TextToVideoSDPipeline",
    "tune_a_video": "TuneAVideoPipeline",
    "pseudo3d": "StableDiffusionVideoInpaintPipeline",
}


def unet_config(family: str, spec: UNetSpec) -> dict[str, Any]:
    """The config of a UNet; the originals' own classes are named where the family has one."""
    dims = "3D" if _UNET_CLASS.get(family) == "UNet3DConditionModel" else "2D"
    down = [f"{'CrossAttn' * attends}DownBlock{dims}" for attends in spec.attends]
    up = [f"{'CrossAttn' * attends}UpBlock{dims}" for attends in reversed(spec.attends)]
    config = {
        "_class_name": _UNET_CLASS.get(family, "UNet2DConditionModel"),
        "act_fn": "silu",
        "attention_head_dim": _heads(family, spec),
        "block_out_channels": list(spec.channels),
        "cross_attention_dim": spec.context_dim,
        "down_block_types": down,
        "downsample_padding": 1,
        "in_channels": spec.in_channels,
        "layers_per_block": spec.layers,
        "mid_block_scale_factor": 1,
        "norm_eps": spec.eps,
        "norm_num_groups": spec.groups,
        "out_channels": spec.out_channels,
        "sample_size": 32 if family == "modelscope" else 64,
        "up_block_types": up,
    }
    wide = family in ("modelscope", "videocrafter2")
    extra = (
        {}
        if wide
        else {
            "center_input_sample": False,
            "flip_sin_to_cos": True,
            "freq_shift": 0,
            "upcast_attention": spec.upcast,
            "use_linear_projection": spec.linear_projection,
        }
    )
    return {**config, **extra}


def _heads(family: str, spec: UNetSpec) -> int | list[int]:
    """diffusers' attention_head_dim: the width of a head in its 3-D network, the number of heads in
    2-D ones.
    """
    if family in ("modelscope", "videocrafter2"):
        return spec.head_of(0)[1]
    counts = [spec.head_of(i)[0] for i in range(len(spec.channels))]
    return counts[0] if len(set(counts)) == 1 else counts


def vae_config(spec: VaeSpec) -> dict[str, Any]:
    """The config of an AutoencoderKL."""
    levels = len(spec.block_channels)
    return {
        "_class_name": "AutoencoderKL",
        "act_fn": "silu",
        "block_out_channels": list(spec.block_channels),
        "down_block_types": ["DownEncoderBlock2D"] * levels,
        "in_channels": spec.channels,
        "latent_channels": spec.latent_channels,
        "layers_per_block": spec.layers,
        "norm_num_groups": spec.groups,
        "out_channels": spec.channels,
        "sample_size": 512,
        "scaling_factor": spec.scaling,
        "up_block_types": ["UpDecoderBlock2D"] * levels,
    }


def text_config(spec: ClipTextSpec) -> dict[str, Any]:
    """The config of a CLIPTextModel; a layer that is held but not used is left out by the number of
    layers.
    """
    return {
        "architectures": ["CLIPTextModel"],
        "attention_dropout": 0.0,
        "bos_token_id": 0,
        "eos_token_id": 2,
        "hidden_act": spec.activation,
        "hidden_size": spec.width,
        "intermediate_size": spec.hidden,
        "layer_norm_eps": spec.eps,
        "max_position_embeddings": spec.length,
        "model_type": "clip_text_model",
        "num_attention_heads": spec.heads,
        "num_hidden_layers": spec.layers,
        "pad_token_id": 1,
        "projection_dim": spec.width,
        "vocab_size": spec.vocabulary,
    }


def pipeline_index(family: str, parts: Sequence[str]) -> dict[str, Any]:
    """The model_index.json of a folder with all parts."""
    classes = {
        "unet": ["diffusers", _UNET_CLASS.get(family, "UNet2DConditionModel")],
        "vae": ["diffusers", "AutoencoderKL"],
        "text_encoder": ["transformers", "CLIPTextModel"],
        "tokenizer": ["transformers", "CLIPTokenizer"],
        "scheduler": ["diffusers", "DDIMScheduler"],
    }
    index = {
        "_class_name": _PIPELINE.get(family, "StableDiffusionPipeline"),
        **{p: classes[p] for p in parts},
    }
    if "_class_name" in index and index["_class_name"] == "StableDiffusionPipeline":
        index |= {"safety_checker": [None, None], "feature_extractor": [None, None]}
    return index
