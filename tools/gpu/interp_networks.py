"""The networks of a tiny DynamiCrafter: UNet, Resampler and autoencoder are the original's own
classes, both encoders are small ones in OpenCLIP's form and names.
"""

from __future__ import annotations

import sys
import types
from collections import OrderedDict
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F

from tools.golden.lvdm_unet import USUAL, norms_of

WIDTH, HEADS, HIDDEN = 32, 4, 128  # of the encoders and the resampler
TOKENS, EACH, FRAMES = 77, 16, 16  # the original has all three written in
VOCABULARY, PATCH = 582, 8
GROUPS = 8  # of all norms
MEAN = (0.48145466, 0.4578275, 0.40821073)
DEVIATION = (0.26862954, 0.26130258, 0.27577711)


class Half(float):
    """A channel multiplier that is no whole number: the product with channels is one."""

    def __mul__(self, channels: int) -> int:
        return round(float(self) * channels)

    __rmul__ = __mul__


def use(original: Path) -> None:
    """Import from a checkout of Doubiiu/DynamiCrafter, with attention by PyTorch's own kernel where
    the original asks xformers for it.
    """
    sys.path.insert(0, str(original))
    package, ops = types.ModuleType("xformers"), types.ModuleType("xformers.ops")
    package.ops = ops
    ops.memory_efficient_attention = _attention
    sys.modules |= {"xformers": package, "xformers.ops": ops}


def _attention(q, k, v, attn_bias=None, op=None):
    """(N, S, D) each, by the kernel for (N, heads, S, D)."""
    return F.scaled_dot_product_attention(q[:, None], k[:, None], v[:, None])[:, 0]


def unet() -> nn.Module:
    """The original's network: 32 and 48 channels, one block a level, attention at the upper one."""
    from lvdm.modules.networks.openaimodel3d import UNetModel

    with norms_of(GROUPS):
        return UNetModel(
            in_channels=8,
            model_channels=32,
            num_res_blocks=1,
            attention_resolutions=[1],
            channel_mult=[1, Half(1.5)],
            num_head_channels=16,
            context_dim=WIDTH,
            image_cross_attention=True,
            default_fs=8,
            fs_condition=True,
            **USUAL,
        )


def resampler() -> nn.Module:
    """The original's: 16 queries for each of 16 frames, one layer."""
    from lvdm.modules.encoders.resampler import Resampler

    return Resampler(WIDTH, 1, 8, HEADS, EACH, WIDTH, WIDTH, 4, FRAMES)


class FirstStage(nn.Module):
    """As much of the original's autoencoder as makes latents of images."""

    def __init__(self):
        super().__init__()
        from lvdm.modules.networks.ae_modules import Decoder, Encoder

        sizes = {"ch": 16, "out_ch": 3, "ch_mult": (1, 2, 4), "num_res_blocks": 1}
        sizes |= {"attn_resolutions": [], "in_channels": 3, "resolution": 48, "z_channels": 4}
        with norms_of(GROUPS):
            self.encoder, self.decoder = Encoder(**sizes), Decoder(**sizes)
        self.quant_conv, self.post_quant_conv = nn.Conv2d(8, 8, 1), nn.Conv2d(4, 4, 1)

    def forward(self, x_NCHW: torch.Tensor) -> torch.Tensor:
        """Images in [-1, 1] to the means of their latents."""
        return self.quant_conv(self.encoder(x_NCHW)).chunk(2, 1)[0]


class Block(nn.Module):
    """A layer of OpenCLIP's transformers."""

    def __init__(self):
        super().__init__()
        self.ln_1, self.ln_2 = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.attn = nn.MultiheadAttention(WIDTH, HEADS, batch_first=True)
        layers = {"c_fc": nn.Linear(WIDTH, HIDDEN), "gelu": nn.GELU()}
        layers["c_proj"] = nn.Linear(HIDDEN, WIDTH)
        self.mlp = nn.Sequential(OrderedDict(layers))

    def forward(self, x: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
        """(N, S, D) -> (N, S, D)."""
        h = self.ln_1(x)
        x = x + self.attn(h, h, h, need_weights=False, attn_mask=mask)[0]
        return x + self.mlp(self.ln_2(x))


class Transformer(nn.Module):
    """Its layers."""

    def __init__(self, layers: int):
        super().__init__()
        self.resblocks = nn.ModuleList(Block() for _ in range(layers))

    def forward(self, x: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
        """(N, S, D) -> (N, S, D)."""
        for block in self.resblocks:
            x = block(x, mask)
        return x


class TextEncoder(nn.Module):
    """Token ids (N, 77) to states (N, 77, D)."""

    def __init__(self):
        super().__init__()
        self.token_embedding = nn.Embedding(VOCABULARY, WIDTH)
        self.positional_embedding = nn.Parameter(0.02 * torch.randn(TOKENS, WIDTH))
        self.transformer, self.ln_final = Transformer(2), nn.LayerNorm(WIDTH)
        mask = torch.full((TOKENS, TOKENS), -torch.inf).triu(1)
        self.register_buffer("mask", mask, persistent=False)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        """Of all tokens, behind the last norm."""
        x = self.token_embedding(ids) + self.positional_embedding
        return self.ln_final(self.transformer(x, self.mask))


class Visual(nn.Module):
    """Images (N, 3, side, side) to the tokens (N, 1 + (side / 8)^2, D) that DynamiCrafter takes of
    an image.
    """

    def __init__(self, side: int):
        super().__init__()
        self.conv1 = nn.Conv2d(3, WIDTH, PATCH, PATCH, bias=False)
        self.class_embedding = nn.Parameter(torch.randn(WIDTH) * WIDTH**-0.5)
        places = (side // PATCH) ** 2 + 1
        self.positional_embedding = nn.Parameter(torch.randn(places, WIDTH) * WIDTH**-0.5)
        self.ln_pre, self.ln_post = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.transformer = Transformer(1)
        self.proj = nn.Parameter(torch.randn(WIDTH, 8) * WIDTH**-0.5)
        for name, values in (("mean", MEAN), ("deviation", DEVIATION)):
            self.register_buffer(name, torch.tensor(values)[:, None, None], persistent=False)

    def forward(self, x_NCHW: torch.Tensor) -> torch.Tensor:
        """Images in [-1, 1] of the encoder's own size, which its preprocessing leaves as they
        are; all tokens behind the last layer, without the norm.
        """
        x = self.conv1(((x_NCHW + 1) / 2 - self.mean) / self.deviation).flatten(2).transpose(1, 2)
        whole = self.class_embedding.expand(len(x), 1, -1)
        return self.transformer(self.ln_pre(torch.cat([whole, x], 1) + self.positional_embedding))


class Embedder(nn.Module):
    """What lies under `embedder.model.` of a file."""

    def __init__(self, side: int):
        super().__init__()
        self.visual = Visual(side)
        self.text_projection = nn.Parameter(torch.randn(WIDTH, 8) * WIDTH**-0.5)


class Diffusers(nn.Module):
    """The base's autoencoder as train_autoencoder.py writes it, which makes latents too."""

    def __init__(self):
        super().__init__()
        from tools.gpu.train_autoencoder import autoencoder

        self.vae = autoencoder()

    def forward(self, x_NCHW: torch.Tensor) -> torch.Tensor:
        """Images in [-1, 1] to the means of their latents."""
        return self.vae.encode(x_NCHW).latent_dist.mode()


def networks(first_stage: Path, side: int) -> dict[str, nn.Module]:
    """Prefix of a published file -> network; the autoencoder is read from a file in its names, or
    in diffusers'.
    """
    from safetensors.torch import load_file

    made = {
        "model.diffusion_model": unet(),
        "cond_stage_model.model": TextEncoder(),
        "image_proj_model": resampler(),
        "embedder.model": Embedder(side),
    }
    state = {k.removeprefix("first_stage_model."): v for k, v in load_file(first_stage).items()}
    if "encoder.mid_block.resnets.0.conv1.weight" in state:
        made["first_stage_model"] = Diffusers()
        state = {f"vae.{name}": value for name, value in state.items()}
    else:
        made["first_stage_model"] = FirstStage()
    made["first_stage_model"].load_state_dict(state)
    return made
