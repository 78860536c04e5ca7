"""The pixel model in PyTorch: video-diffusion-pytorch's own Unet3D, and our caption encoder.

Legend: B batch, L tokens, W width, D width of the condition.
"""

from __future__ import annotations

import importlib.util
import math
import sys
from typing import Any
from unittest import mock

import torch
from torch import nn

from mindlong.networks.caption.spec import PADDING, VOCABULARY
from mindlong.networks.unet3d.spec import TextSpec, Unet3DSpec

OTHERS = ("torchvision", "torchvision.transforms", "torchvision.utils", "PIL", "tqdm")


class NoFocus:
    """A focus mask in which no video is focused: the original asks it in every attention, and a
    tensor's answer would have to be waited for.
    """

    def all(self) -> bool:
        """No, not all are."""
        return False

    def __invert__(self) -> Everything:
        return Everything()


class Everything:
    """What `NoFocus` is not."""

    def all(self) -> bool:
        """Yes."""
        return True


class FlatConv(nn.Conv3d):
    """A 1 x k x k convolution as the 2-D one that it is, which GPUs compute sooner."""

    def forward(self, x_BCFHW: torch.Tensor) -> torch.Tensor:
        """(B, C, F, H, W) -> (B, C, F, H, W)."""
        _, *stride = self.stride
        _, *padding = self.padding
        rows = _rows(x_BCFHW)
        made = nn.functional.conv2d(rows, self.weight[:, :, 0], self.bias, stride, padding)
        return made.unflatten(0, (len(x_BCFHW), -1)).transpose(1, 2)


class FlatConvTranspose(nn.ConvTranspose3d):
    """The same of a transposed one."""

    def forward(self, x_BCFHW: torch.Tensor) -> torch.Tensor:
        """(B, C, F, H, W) -> (B, C, F, H, W)."""
        _, *stride = self.stride
        _, *padding = self.padding
        weight = self.weight[:, :, 0]
        made = nn.functional.conv_transpose2d(_rows(x_BCFHW), weight, self.bias, stride, padding)
        return made.unflatten(0, (len(x_BCFHW), -1)).transpose(1, 2)


class FlatRms(nn.Module):
    """The original's RMSNorm over channels, in one pass over memory."""

    def forward(self, x_BCFHW: torch.Tensor) -> torch.Tensor:
        """(B, C, F, H, W) -> (B, C, F, H, W)."""
        gamma = self.gamma.flatten().to(x_BCFHW.dtype)
        with torch.autocast(x_BCFHW.device.type, enabled=False):
            made = nn.functional.rms_norm(x_BCFHW.movedim(1, -1), gamma.shape, gamma, 1e-12)
        return made.movedim(-1, 1)


class FlatLayer(nn.Module):
    """The original's LayerNorm over channels, in one pass over memory."""

    def forward(self, x_BCFHW: torch.Tensor) -> torch.Tensor:
        """(B, C, F, H, W) -> (B, C, F, H, W)."""
        gamma = self.gamma.flatten().to(x_BCFHW.dtype)
        with torch.autocast(x_BCFHW.device.type, enabled=False):
            channels_last = x_BCFHW.movedim(1, -1)
            made = nn.functional.layer_norm(channels_last, gamma.shape, gamma, None, self.eps)
        return made.movedim(-1, 1)


def _rows(x_BCFHW: torch.Tensor) -> torch.Tensor:
    """Frames behind the batch, channels last in memory: (B*F, C, H, W)."""
    return x_BCFHW.permute(0, 2, 3, 4, 1).flatten(0, 1).permute(0, 3, 1, 2)


def flat(network: nn.Module, module: Any) -> nn.Module:
    """The network of the original's `module` with its convolutions and norms as those here;
    parameters and results stay as they are.
    """
    kinds = {
        nn.Conv3d: FlatConv,
        nn.ConvTranspose3d: FlatConvTranspose,
        module.RMSNorm: FlatRms,
        module.LayerNorm: FlatLayer,
    }
    for part in network.modules():
        part.__class__ = kinds.get(type(part), type(part))
    return network


def original() -> Any:
    """The module video_diffusion_pytorch 0.7.0. What only its trainer imports need not be there."""
    stubs = {name: mock.MagicMock() for name in OTHERS if not _there(name.split(".")[0])}
    sys.modules.update(stubs)
    try:
        import video_diffusion_pytorch.video_diffusion_pytorch as module
    finally:
        for name in stubs:
            del sys.modules[name]
    return module


def _there(name: str) -> bool:
    return name in sys.modules or importlib.util.find_spec(name) is not None


class Shifted(nn.Module):
    """An attention over frames of which half of the features come from the frame before, zeros at
    the first one: `model.token_shift=time`, by the names that mindlong reads.
    """

    def __init__(self, fn: nn.Module) -> None:
        super().__init__()
        self.fn = fn

    def forward(self, x_BPFC: torch.Tensor, **more: Any) -> torch.Tensor:
        """(B, P, F, C) -> (B, P, F, C)."""
        kept, moved = x_BPFC.tensor_split([x_BPFC.shape[-1] - x_BPFC.shape[-1] // 2], -1)
        before = nn.functional.pad(moved, (0, 0, 1, -1))
        return self.fn(torch.cat((kept, before), -1), **more)


def shifted(network: nn.Module, module: Any) -> nn.Module:
    """The network with its attentions over frames as `Shifted`."""
    for part in list(network.modules()):
        if isinstance(part, module.EinopsToAndFrom) and part.fn.rotary_emb is not None:
            part.fn = Shifted(part.fn)
    return network


def unet(spec: Unet3DSpec) -> nn.Module:
    """The original's Unet3D of a spec; it takes `NoFocus` for a mask. Of what the original has not
    it has the shift in time.
    """
    if spec.text_memory or spec.shift_space or spec.classes or spec.block_norm != "rms":
        raise SystemExit("the model has what neither the original nor this training has")
    module = original()
    network = module.Unet3D(
        dim=spec.dim,
        cond_dim=spec.cond_dim,
        out_dim=spec.out_dim,
        dim_mults=spec.dim_mults,
        channels=spec.channels,
        attn_heads=spec.attn_heads,
        attn_dim_head=spec.attn_dim_head,
        init_dim=spec.init_dim,
        init_kernel_size=spec.init_kernel_size,
        use_sparse_linear_attn=spec.use_sparse_linear_attn,
    )
    return shifted(flat(network, module), module) if spec.shift_time else flat(network, module)


class CaptionLayer(nn.Module):
    """`mindlong.networks.caption.cell.CaptionLayer`."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.to_qkv, self.to_out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.fc1, self.act, self.fc2 = (
            nn.Linear(width, 4 * width),
            nn.GELU(),
            nn.Linear(4 * width, width),
        )

    def forward(self, x_BLW: torch.Tensor, seen_BL: torch.Tensor) -> torch.Tensor:
        """(B, L, W) -> (B, L, W); tokens that are not seen are padding."""
        qkv = self.to_qkv(self.norm1(x_BLW)).unflatten(-1, (3, self.heads, -1))
        q, k, v = (part.transpose(1, 2) for part in qkv.unbind(2))
        mixed = nn.functional.scaled_dot_product_attention(
            q, k, v, attn_mask=seen_BL[:, None, None, :]
        )
        x_BLW = x_BLW + self.to_out(mixed.transpose(1, 2).flatten(2))
        return x_BLW + self.fc2(self.act(self.fc1(self.norm2(x_BLW))))


class CaptionEncoder(nn.Module):
    """`mindlong.networks.caption.cell.CaptionEncoder`, by the same names."""

    def __init__(self, spec: TextSpec, cond_dim: int) -> None:
        super().__init__()
        width = spec.width
        self.embed = nn.Embedding(VOCABULARY, width)
        self.places = nn.Parameter(torch.randn(spec.length, width))
        self.query = nn.Parameter(torch.randn(width))
        self.layers = nn.ModuleList(CaptionLayer(width, spec.heads) for _ in range(spec.layers))
        self.norm, self.out = nn.LayerNorm(width), nn.Linear(width, cond_dim)

    def forward(self, ids_BL: torch.Tensor) -> torch.Tensor:
        """(B, L) -> (B, D)."""
        seen_BL = ids_BL != PADDING
        x_BLW = self.embed(ids_BL) + self.places
        for layer in self.layers:
            x_BLW = layer(x_BLW, seen_BL)
        x_BLW = self.norm(x_BLW)
        scores_BL = (x_BLW @ self.query) / math.sqrt(len(self.query))
        weights_BL = scores_BL.masked_fill(~seen_BL, -1e9).softmax(-1)
        return self.out((x_BLW * weights_BL[..., None]).sum(1))
