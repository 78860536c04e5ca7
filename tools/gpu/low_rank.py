"""LoRA for a training in PyTorch: pairs of matrices on every layer of a network, and their file."""

from __future__ import annotations

import math

import torch
from torch.nn.utils import parametrize


class LowRank(torch.nn.Module):
    """weight + B A; A starts as a layer does, B at zero."""

    def __init__(self, weight: torch.Tensor, rank: int):
        super().__init__()
        out, within = weight.shape[0], weight[0].numel()
        self.rank = min(rank, out, within)
        self.A = torch.nn.Parameter(torch.empty(self.rank, within, device=weight.device))
        self.B = torch.nn.Parameter(torch.zeros(out, self.rank, device=weight.device))
        torch.nn.init.kaiming_uniform_(self.A, a=math.sqrt(5))

    def forward(self, weight: torch.Tensor) -> torch.Tensor:
        """The weight that the layer computes with."""
        return weight + (self.B @ self.A).view(weight.shape)


def adapt(net: torch.nn.Module, rank: int) -> dict[str, LowRank]:
    """Put a pair on each linear layer and convolution; only these learn. By the layers' names."""
    net.requires_grad_(False)
    kinds = (torch.nn.Linear, torch.nn.Conv2d, torch.nn.Conv3d)
    layers = {name: m for name, m in net.named_modules() if isinstance(m, kinds)}
    pairs = {name: LowRank(m.weight, rank) for name, m in layers.items()}
    for name, layer in layers.items():
        parametrize.register_parametrization(layer, "weight", pairs[name])
    return pairs


def file_of(
    pairs: dict[str, LowRank], net: torch.nn.Module, state: dict[str, torch.Tensor]
) -> dict[str, torch.Tensor]:
    """The tensors of a LoRA's file in diffusers' names, from a (say averaged) state of `pairs`."""
    found = {}
    for name, pair in pairs.items():
        layer = net.get_submodule(name)
        shape = layer.weight.shape
        ones = (1,) * (len(shape) - 2)
        a, b = (state[f"{name}.{leaf}"] for leaf in "AB")
        found[f"unet.{name}.lora_A.weight"] = a.reshape(pair.rank, *shape[1:])
        found[f"unet.{name}.lora_B.weight"] = b.reshape(shape[0], pair.rank, *ones)
    return found
