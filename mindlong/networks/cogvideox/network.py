"""CogVideoX's transformer in the table of networks."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from mindlong.diffusion.noising import Noising
from mindlong.diffusion.samplers.flavours import DdimFlavour
from mindlong.diffusion.schedules import scaled_linear, snr_shifted, zero_terminal_snr
from mindlong.networks.cogvideox.cost import cost
from mindlong.networks.cogvideox.files import FORMATS, section
from mindlong.networks.cogvideox.keys import FAMILY, CogVideoXModel
from mindlong.networks.cogvideox.lone import LONE
from mindlong.networks.cogvideox.traffic import kept_bytes, sites
from mindlong.networks.network import Denoiser, Facts, Hub, Network

if TYPE_CHECKING:
    from mindlong.networks.cogvideox.spec import CogVideoXSpec

SHIFT = 3.0  # of the noising process: signal-to-noise ratios are divided by it
FRAMES = 4  # images of a latent
# a stride may end above timestep 0, and not in the clean sample (7 steps)
FLAVOUR = DdimFlavour("trailing", 0, "stride", "clean", rederive_eps=False)


def hub_config(spec: CogVideoXSpec) -> dict[str, Any]:
    """The config.json that diffusers expects."""
    frames, height, width = spec.sample
    return {
        "_class_name": "CogVideoXTransformer3DModel",
        "activation_fn": "gelu-approximate",
        "attention_bias": True,
        "attention_head_dim": spec.head_dim,
        "dropout": 0.0,
        "flip_sin_to_cos": True,
        "freq_shift": 0,
        "in_channels": spec.in_channels,
        "max_text_seq_length": spec.tokens,
        "norm_elementwise_affine": True,
        "norm_eps": spec.eps,
        "num_attention_heads": spec.heads,
        "num_layers": spec.layers,
        "out_channels": spec.out_channels,
        "patch_size": spec.patch,
        "sample_frames": FRAMES * (frames - 1) + 1,
        "sample_height": height,
        "sample_width": width,
        "spatial_interpolation_scale": spec.spatial_scale,
        "temporal_compression_ratio": FRAMES,
        "temporal_interpolation_scale": spec.temporal_scale,
        "text_embed_dim": spec.context_dim,
        "time_embed_dim": spec.time_dim,
        "timestep_activation_fn": "silu",
        "use_rotary_positional_embeddings": False,
    }


def _takes(spec: CogVideoXSpec) -> tuple[str, ...]:
    return ("context", "hint") if spec.hinted else ("context",)


def _noising(spec: CogVideoXSpec, facts: Facts) -> Noising:
    schedule = zero_terminal_snr(snr_shifted(scaled_linear(), SHIFT))
    return Noising(schedule, "v", FLAVOUR)


NETWORKS = (
    Network(
        family=FAMILY,
        role="network",
        about="the transformer of CogVideoX-2B",
        keys=CogVideoXModel,
        section=section,
        formats=FORMATS,
        our_markers=(
            "patch.text.weight",
            "blocks.0.attn.norm_q.weight",
            "blocks.0.norm1.linear.weight",
            "norm_out.linear.weight",
        ),
        build="mindlong.networks.cogvideox.cell:CogVideoX",
        cost=cost,
        part="transformer",
        hub=Hub(
            "diffusers", "CogVideoXTransformer3DModel", hub_config, pipeline="CogVideoXPipeline"
        ),
        lone=LONE,
        denoiser=Denoiser(
            space="latent",
            takes=_takes,
            size=(49, 480, 720),
            noising=_noising,
            tokens=lambda spec: spec.tokens,
            side=lambda spec: spec.patch,
            one_prompt=True,
            sharded="mindlong.networks.cogvideox.sharded_cell:ShardedCogVideoX",
            sites=sites,
            kept=kept_bytes,
            features=frozenset({"joint"}),
            null=MappingProxyType({"context": "negative", "hint": "same"}),
            usual=MappingProxyType({"vae": "cogvideox_vae", "text_encoder": "t5"}),
        ),
    ),
)
