"""AutoencoderKL in the table of networks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mindlong.networks.network import Codec, Hub, Network
from mindlong.networks.vae.cost import cost, decode_cost
from mindlong.networks.vae.files import format_of, section
from mindlong.networks.vae.keys import FAMILY, AutoencoderModel
from mindlong.networks.vae.lone import LONE

if TYPE_CHECKING:
    from mindlong.networks.vae.spec import VaeSpec


def hub_config(spec: VaeSpec) -> dict[str, Any]:
    """The config.json that diffusers expects."""
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


NETWORKS = (
    Network(
        family=FAMILY,
        role="vae",
        about="the autoencoder of Stable Diffusion",
        keys=AutoencoderModel,
        section=section,
        formats=(
            format_of("diffusers"),
            format_of("diffusers_old"),
            format_of(
                "ldm",
                prefix="first_stage_model.",
                together="first_stage_model.",
                file="VQGAN_autoencoder.pth",
                table="state_dict",
            ),
        ),
        our_markers=(
            "post_quant_conv.weight",
            "decoder.mid.attn.to_q.weight",
            "encoder.levels.0.blocks.0.conv1.weight",
        ),
        build="mindlong.networks.vae.cell:build",
        cost=cost,
        hub=Hub("diffusers", "AutoencoderKL", hub_config),
        lone=LONE,
        codec=Codec("mindlong.networks.vae.streams_cell:FrameStreams", decode_cost),
    ),
)
