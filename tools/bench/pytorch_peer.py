"""The works in PyTorch eager, by video-diffusion-pytorch (the `golden` extra)."""

from __future__ import annotations

import sys
import types
from collections.abc import Callable

from bench.works import Work


def build(work: Work, threads: int) -> Callable[[], float]:
    """A call that runs the work once and returns a number that depends on all of it."""
    import torch

    _stub_torchvision()
    from video_diffusion_pytorch import GaussianDiffusion, Unet3D

    torch.set_num_threads(threads)
    torch.manual_seed(0)
    network = Unet3D(dim=work.dim, dim_mults=work.dim_mults, channels=work.shape[1])
    x, t = torch.randn(work.shape), torch.full((work.shape[0],), 500)
    if work.kind == "forward":
        def forward() -> float:
            with torch.no_grad():
                return float(network(x, t).sum())

        return forward
    diffusion = GaussianDiffusion(network, image_size=work.shape[3], num_frames=work.shape[2], loss_type="l1")
    adam = torch.optim.Adam(network.parameters(), lr=1e-4)

    def train() -> float:
        loss = diffusion.p_losses(x, t)
        adam.zero_grad(set_to_none=True)
        loss.backward()
        adam.step()
        return float(loss.detach())

    return train


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
