"""CogVideoX's autoencoder in the table of networks."""

from __future__ import annotations

from typing import Any

from mindlong.networks.cogvideox_vae.cost import cost, decode_cost
from mindlong.networks.cogvideox_vae.files import FORMATS, section
from mindlong.networks.cogvideox_vae.keys import FAMILY, VideoVaeModel
from mindlong.networks.cogvideox_vae.lone import LONE
from mindlong.networks.cogvideox_vae.spec import IMAGES, VideoVaeSpec
from mindlong.networks.network import Codec, Hub, Network


def hub_config(spec: VideoVaeSpec) -> dict[str, Any]:
    """The config.json that diffusers expects."""
    levels = len(spec.block_channels)
    return {
        "_class_name": "AutoencoderKLCogVideoX",
        "act_fn": "silu",
        "block_out_channels": list(spec.block_channels),
        "down_block_types": ["CogVideoXDownBlock3D"] * levels,
        "in_channels": spec.channels,
        "latent_channels": spec.latent_channels,
        "layers_per_block": spec.layers,
        "norm_eps": spec.eps,
        "norm_num_groups": spec.groups,
        "out_channels": spec.channels,
        "sample_height": 480,
        "sample_width": 720,
        "scaling_factor": spec.scaling,
        "temporal_compression_ratio": spec.time,
        "up_block_types": ["CogVideoXUpBlock3D"] * levels,
        "use_post_quant_conv": False,
        "use_quant_conv": False,
    }


NETWORKS = (
    Network(
        family=FAMILY,
        role="vae",
        about="the autoencoder of CogVideoX",
        keys=VideoVaeModel,
        section=section,
        formats=FORMATS,
        our_markers=(
            "encoder.conv_in.conv.weight",
            "decoder.mid.0.norm1.conv_y.weight",
            "encoder.levels.0.blocks.0.conv1.conv.weight",
        ),
        build="mindlong.networks.cogvideox_vae.cell:build",
        cost=cost,
        hub=Hub("diffusers", "AutoencoderKLCogVideoX", hub_config),
        lone=LONE,
        codec=Codec(
            "mindlong.networks.cogvideox_vae.streams_cell:CausalStreams",
            decode_cost,
            chunks=f"the model has chunks of its own ({IMAGES} images)",
        ),
    ),
)
