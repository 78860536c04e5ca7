"""The shipped latent model's three networks as the classes of diffusers and transformers, with its
weights, for trainings in PyTorch.

Legend: B samples, F frames, C channels, h w latent pixels, E width of an embedding.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
import yaml
from diffusers import AutoencoderKL, UNet3DConditionModel
from diffusers.models.embeddings import TimestepEmbedding
from diffusers.models.transformers.transformer_temporal import TransformerTemporalModel
from safetensors.torch import load_file
from transformers import CLIPTextConfig, CLIPTextModel

from mindlong.networks.clip import text_names
from mindlong.networks.clip.text_spec import ClipTextSpec
from mindlong.networks.clip.tokenizer import for_spec
from mindlong.networks.names import Entry
from mindlong.networks.unet import names as unet_names
from mindlong.networks.unet.families import family
from mindlong.networks.unet.spec import UNetSpec
from mindlong.networks.vae import names as vae_names
from mindlong.networks.vae.spec import VaeSpec

SHIPPED = Path(__file__).resolve().parents[2] / "mindlong" / "weights" / "latent_shapes"


class FramedUNet(UNet3DConditionModel):
    """diffusers' network with an embedding of each frame's number beside that of the timestep."""

    def __init__(self, *args, entry_heads: int = 8, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        first, groups = self.config.block_out_channels[0], self.config.norm_num_groups
        width = self.config.attention_head_dim
        self.frame_embedding = TimestepEmbedding(first, 4 * first)
        self.transformer_in = TransformerTemporalModel(
            entry_heads, width, first, num_layers=1, norm_num_groups=groups
        )

    def forward(self, x_BCFhw, t_B, context, places_F=None):
        """float32 (B, C, F, h, w); t_B integers (B,), context (B, T, D)."""
        batch, channels, frames, height, width = x_BCFhw.shape
        places_F = torch.arange(frames, device=x_BCFhw.device) if places_F is None else places_F
        dtype = self.dtype
        emb = self.time_embedding(self.time_proj(t_B).to(dtype))[:, None]
        emb = emb + self.frame_embedding(self.time_proj(places_F).to(dtype))[None]
        emb, context = emb.flatten(0, 1), context.to(dtype).repeat_interleave(frames, 0)
        x = self.conv_in(x_BCFhw.to(dtype).transpose(1, 2).flatten(0, 1))
        x = self.transformer_in(x, num_frames=frames, return_dict=False)[0]
        kept, told = (x,), {"temb": emb, "num_frames": frames}
        for block in self.down_blocks:
            x, more = block(x, encoder_hidden_states=context, **told)
            kept += more
        x = self.mid_block(x, encoder_hidden_states=context, **told)
        for block in self.up_blocks:
            count = len(block.resnets)
            x = block(x, kept[-count:], encoder_hidden_states=context, **told)
            kept = kept[:-count]
        x = self.conv_out(self.conv_act(self.conv_norm_out(x)))
        return x.unflatten(0, (batch, frames)).transpose(1, 2)


def renamed(
    entries: Iterable[Entry], path: Path, part: str, dtype=torch.float32
) -> dict[str, torch.Tensor]:
    """Our tensors under the names, and in the shapes, of the other program."""
    held = load_file(path)
    return {e.source: held[f"{part}.{e.ours}"].to(dtype).reshape(e.source_shape) for e in entries}


def ours(
    entries: Iterable[Entry], state: dict[str, torch.Tensor], part: str
) -> dict[str, torch.Tensor]:
    """The way back."""
    return {f"{part}.{e.ours}": state[e.source].reshape(e.our_shape) for e in entries}


def unet_spec(folder: Path = SHIPPED) -> UNetSpec:
    """What unet.yaml says."""
    told = yaml.safe_load((folder / "unet.yaml").read_text())
    sizes = {k: tuple(v) if isinstance(v, list) else v for k, v in told.items() if k != "family"}
    return family(told["family"]).spec(**sizes)


def unet(folder: Path = SHIPPED) -> tuple[FramedUNet, list[Entry]]:
    """The denoiser with its weights, and the names of its tensors."""
    spec = unet_spec(folder)
    levels = len(spec.channels)
    net = FramedUNet(
        in_channels=spec.in_channels,
        out_channels=spec.out_channels,
        down_block_types=("CrossAttnDownBlock3D",) * levels,
        up_block_types=("CrossAttnUpBlock3D",) * levels,
        block_out_channels=spec.channels,
        layers_per_block=spec.layers,
        norm_num_groups=spec.groups,
        cross_attention_dim=spec.context_dim,
        attention_head_dim=spec.head_dim,
        entry_heads=spec.entry_heads,
    )
    entries = unet_names.names(spec)
    net.load_state_dict(renamed(entries, folder / "unet.safetensors", "unet"), strict=True)
    return net, entries


def autoencoder(folder: Path = SHIPPED) -> tuple[AutoencoderKL, float]:
    """The autoencoder with its weights, and what its latents are multiplied by."""
    told = yaml.safe_load((folder / "vae.yaml").read_text())
    widths = tuple(told["block_channels"])
    spec = VaeSpec(block_channels=widths, layers=told["layers"], groups=told["groups"])
    net = AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * len(widths),
        up_block_types=("UpDecoderBlock2D",) * len(widths),
        block_out_channels=widths,
        layers_per_block=spec.layers,
        latent_channels=spec.latent_channels,
        norm_num_groups=spec.groups,
    )
    tensors = renamed(vae_names.names(spec), folder / "vae.safetensors", "vae")
    net.load_state_dict(tensors, strict=True)
    return net, float(told["scaling"])


@torch.no_grad()
def text_states(captions: list[str], folder: Path = SHIPPED) -> torch.Tensor:
    """What the text encoder makes of captions, float32 (captions, tokens, width)."""
    told = yaml.safe_load((folder / "text_encoder.yaml").read_text())
    spec = ClipTextSpec(**{k: v for k, v in told.items() if k != "family"})
    net = CLIPTextModel(
        CLIPTextConfig(
            vocab_size=spec.vocabulary,
            hidden_size=spec.width,
            intermediate_size=spec.hidden,
            num_hidden_layers=spec.layers,
            num_attention_heads=spec.heads,
            max_position_embeddings=spec.length,
            hidden_act=spec.activation,
        )
    ).eval()
    entries = text_names.names(spec)
    tensors = renamed(entries, folder / "text_encoder.safetensors", "text_encoder")
    have = next(iter(net.state_dict()))  # newer releases leave "text_model." out
    if not have.startswith("text_model."):
        tensors = {k.removeprefix("text_model."): v for k, v in tensors.items()}
    net.load_state_dict(tensors, strict=True)
    ids = for_spec(folder / "tokenizer", spec)(captions)
    return net(torch.from_numpy(np.asarray(ids)).long()).last_hidden_state
