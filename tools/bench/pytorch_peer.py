"""The works in PyTorch, eager or compiled: networks by video-diffusion-pytorch and diffusers (the
`golden` extra), operators by torch itself.
"""

from __future__ import annotations

import sys
import types
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bench.works import FORWARD, TOKENS, Work
from mindlong.utils.rng import normal

Compiler = Callable[[Any], Any]


def build(work: Work, threads: int, compiled: bool = False) -> Callable[[], float]:
    """A call that runs the work once and returns a number that depends on it.

    Args:
        compiled: whether the network or the operator goes through torch.compile, for static shapes.
    """
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    made = _compiled if compiled else _as_it_is
    if work.family == "unet3d":
        return _unet3d(work, made)
    return _unet(work, made) if work.is_network else _operator(work, made)


def _as_it_is(call: Any) -> Any:
    return call


def _compiled(call: Any) -> Any:
    """With the types and sizes of each call written into its code; a layer's code is compiled for
    each of its sizes, however many, where the usual limit of 8 would leave the rest eager.
    """
    torch._dynamo.config.recompile_limit = 1024
    torch._dynamo.config.accumulated_recompile_limit = 4096
    return torch.compile(call, dynamic=False)


def _unet3d(work: Work, made: Compiler) -> Callable[[], float]:
    _stub_torchvision()
    from video_diffusion_pytorch import GaussianDiffusion, Unet3D

    network = Unet3D(channels=work.shape[1], **work.sizes)
    x, t = torch.randn(work.shape), torch.full((work.shape[0],), 500)
    denoise = made(network)
    if work.kind == FORWARD:
        return lambda: _without_gradients(lambda: denoise(x, t))
    diffusion = GaussianDiffusion(
        network, image_size=work.shape[3], num_frames=work.shape[2], loss_type="l1"
    )
    diffusion.denoise_fn = denoise
    return _updates(network, lambda: diffusion.p_losses(x, t))


def _unet(work: Work, made: Compiler) -> Callable[[], float]:
    from diffusers import UNet2DConditionModel, UNet3DConditionModel

    sizes, video = work.sizes, work.family == "modelscope"
    kind = "3D" if video else "2D"
    shared = {
        "in_channels": work.shape[1],
        "out_channels": work.shape[1],
        "block_out_channels": sizes["channels"],
        "layers_per_block": sizes["layers"],
        "norm_num_groups": sizes["groups"],
        "cross_attention_dim": sizes["context_dim"],
        "attention_head_dim": sizes["head_dim"]
        if video
        else sizes["heads"],  # the second is a number of heads, despite its name
        "down_block_types": tuple(f"{'CrossAttn' * a}DownBlock{kind}" for a in sizes["attends"]),
        "up_block_types": tuple(f"{'CrossAttn' * a}UpBlock{kind}" for a in sizes["attends"][::-1]),
    }
    network = (UNet3DConditionModel if video else UNet2DConditionModel)(**shared)
    x, noise = torch.randn(work.shape), torch.randn(work.shape)
    t, text = (
        torch.full((work.shape[0],), 500),
        torch.randn(work.shape[0], TOKENS, sizes["context_dim"]),
    )

    denoise = made(network)

    def run() -> Tensor:
        return denoise(x, t, text).sample if video else _folded(denoise, x, t, text)

    if work.kind == FORWARD:
        network.eval()
        return lambda: _without_gradients(run)
    return _updates(network, lambda: F.mse_loss(run(), noise))


def _folded(network: Callable[..., Any], x: Tensor, t: Tensor, text: Tensor) -> Tensor:
    """An image network frame by frame."""
    batch, frames = x.shape[0], x.shape[2]
    rows = x.transpose(1, 2).flatten(0, 1)
    out = network(rows, t.repeat_interleave(frames), text.repeat_interleave(frames, 0)).sample
    return out.unflatten(0, (batch, frames)).transpose(1, 2)


def _without_gradients(run: Callable[[], Tensor]) -> float:
    with torch.no_grad():
        return float(run().sum())


def _updates(network: nn.Module, loss_of: Callable[[], Tensor]) -> Callable[[], float]:
    adam = torch.optim.Adam(network.parameters(), lr=1e-4)

    def train() -> float:
        loss = loss_of()
        adam.zero_grad(set_to_none=True)
        loss.backward()
        adam.step()
        return float(loss.detach())

    return train


class _Norm(nn.Module):
    """GroupNorm, then FiLM if it is given one, then SiLU."""

    def __init__(self, groups: int, width: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(groups, width)

    def forward(
        self, x: Tensor, scale: Tensor | None = None, shift: Tensor | None = None
    ) -> Tensor:
        y = self.norm(x)
        if scale is not None:
            y = y * (scale[:, :, None, None] + 1) + shift[:, :, None, None]
        return F.silu(y)


class _ChannelNorm(nn.Module):
    """The norm over channels as Video Diffusion Models writes it."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(1, width, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        mean, variance = x.mean(1, keepdim=True), x.var(1, unbiased=False, keepdim=True)
        return (x - mean) / (variance + 1e-5).sqrt() * self.gamma


class _FramesConv(nn.Conv3d):
    def __init__(self, width: int, out: int) -> None:
        super().__init__(width, out, (3, 1, 1), padding=(1, 0, 0))


class _FramesAttention(nn.Module):
    """(B, F, P, C) with attention over F for every pixel, in diffusers' order of rows."""

    def __init__(self, heads: int) -> None:
        super().__init__()
        self.heads = heads

    def forward(self, *qkv: Tensor) -> Tensor:
        rows = [
            x.transpose(1, 2).flatten(0, 1).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for x in qkv
        ]
        out = F.scaled_dot_product_attention(*rows).transpose(1, 2).flatten(2)
        return out.unflatten(0, (qkv[0].shape[0], -1)).transpose(1, 2)


def _gated(x: Tensor) -> Tensor:
    value, gate = x.chunk(2, -1)
    return value * F.gelu(gate)


def _module(work: Work) -> Callable[..., Tensor]:
    width = work.shape[-1] if len(work.shape) == 2 else work.shape[1]
    made = {
        "group_norm_silu": lambda groups: _Norm(groups, width),
        "group_norm_film_silu": lambda groups: _Norm(groups, width),
        "layer_norm": lambda: nn.LayerNorm(width),
        "channel_norm": lambda: _ChannelNorm(width),
        "silu": lambda: F.silu,
        "gelu": lambda: F.gelu,
        "geglu": lambda: _gated,
        "linear": lambda out: nn.Linear(width, out),
        "conv": lambda out: nn.Conv2d(width, out, 3, padding=1),
        "upsample_conv": lambda out: nn.Sequential(
            nn.Upsample(scale_factor=2), nn.Conv2d(width, out, 3, padding=1)
        ),
        "frames_conv": lambda out: _FramesConv(width, out),
        "attention": lambda: F.scaled_dot_product_attention,
        "frames_attention": _FramesAttention,
    }
    return made[work.family](**work.sizes)


def _operator(work: Work, made: Compiler) -> Callable[[], float]:
    module = _module(work)
    call = made(module)
    count = 3 if work.family.endswith("attention") else 1
    tensors = [torch.from_numpy(normal(work.shape, 0, "x", i)) for i in range(count)]
    if "film" in work.family:
        tensors += [
            torch.from_numpy(normal((1, work.shape[1]), 0, name)) for name in ("scale", "shift")
        ]
    if work.kind == FORWARD:
        return lambda: _first_of(call, tensors)
    wanted = [x.requires_grad_() for x in tensors] + (
        list(module.parameters()) if isinstance(module, nn.Module) else []
    )
    probe = torch.from_numpy(normal(tuple(module(*tensors).shape), 0, "probe"))

    def both() -> float:
        out = call(*tensors)
        torch.autograd.grad(out, wanted, probe)
        return float(out.detach().reshape(-1)[0])

    return both


def _first_of(module: Callable[..., Tensor], tensors: list[Tensor]) -> float:
    with torch.no_grad():
        return float(module(*tensors).reshape(-1)[0])


def _stub_torchvision() -> None:
    """The package needs torchvision only for its own data set."""
    if "torchvision" in sys.modules:
        return
    root = types.ModuleType("torchvision")
    for part in ("transforms", "utils"):
        module = types.ModuleType(f"torchvision.{part}")
        module.ToTensor = module.ToPILImage = lambda *a, **k: None
        setattr(root, part, module)
        sys.modules[f"torchvision.{part}"] = module
    sys.modules["torchvision"] = root
