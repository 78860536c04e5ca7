"""Golden arrays of the autoencoder from diffusers' AutoencoderKL, and the name pairs of its LDM
converter (needs torch).
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import torch

Arrays = dict[str, np.ndarray]
TINY = {
    "block_out_channels": (8, 8, 16),
    "layers_per_block": 1,
    "norm_num_groups": 4,
    "latent_channels": 3,
}
DEEP = {
    "block_out_channels": (4, 8),
    "layers_per_block": 2,
    "norm_num_groups": 2,
    "latent_channels": 4,
}


def randomise(module: torch.nn.Module, seed: int) -> torch.nn.Module:
    """Every parameter drawn anew, around 1 for the scales of norms, so that none is hidden by a
    zero.
    """
    draw = np.random.default_rng(seed)
    for name, parameter in sorted(module.named_parameters()):
        spread = 0.3 / max(parameter[0].numel(), 1) ** 0.5 if parameter.ndim > 1 else 0.2
        values = (
            draw.standard_normal(parameter.shape) * spread * (4.0 if parameter.ndim > 1 else 1.0)
        )
        offset = 1.0 if parameter.ndim == 1 and "norm" in name and name.endswith("weight") else 0.0
        parameter.data = torch.from_numpy((values + offset).astype(np.float32))
    return module.eval()


def _model(options: dict, seed: int) -> torch.nn.Module:
    from diffusers import AutoencoderKL

    levels = len(options["block_out_channels"])
    types = {
        "down_block_types": ("DownEncoderBlock2D",) * levels,
        "up_block_types": ("UpDecoderBlock2D",) * levels,
    }
    return randomise(AutoencoderKL(in_channels=3, out_channels=3, **types, **options), seed)


def run(options: dict, seed: int, height: int, width: int) -> Arrays:
    """Weights, moments, decoded pictures, and gradients of sum(probe * reconstruction) +
    sum(logvar).
    """
    model, draw = _model(options, seed), np.random.default_rng(seed + 1)
    x = torch.from_numpy(
        draw.uniform(-1, 1, (2, 3, height, width)).astype(np.float32)
    ).requires_grad_()
    posterior = model.encode(x).latent_dist
    noise = torch.from_numpy(draw.standard_normal(posterior.mean.shape).astype(np.float32))
    decoded = model.decode(posterior.mean + posterior.std * noise).sample
    probe = torch.from_numpy(draw.standard_normal(decoded.shape).astype(np.float32))
    ((decoded * probe).sum() + posterior.logvar.sum()).backward()
    out = {
        "x": x,
        "noise": noise,
        "probe": probe,
        "mean": posterior.mean,
        "logvar": posterior.logvar,
        "decoded": decoded,
    }
    out |= {f"weight/{n}": p for n, p in model.named_parameters()} | {"grad_x": x.grad}
    out |= {f"grad/{n}": p.grad for n, p in model.named_parameters()}
    return {name: tensor.detach().numpy() for name, tensor in out.items()}


def ldm_pairs() -> dict[str, str]:
    """LDM name -> diffusers name for the full-size autoencoder, by diffusers' own converter from
    one side to the other.
    """
    from diffusers.loaders.single_file_utils import convert_ldm_vae_checkpoint

    sys.path.insert(0, str(Path(__file__).parents[2]))
    from mindlong.networks.vae.names import names
    from mindlong.networks.vae.spec import VaeSpec

    entries = names(VaeSpec(), "ldm", "first_stage_model.")
    marked = {}
    for number, entry in enumerate(entries):
        marked[entry.source] = torch.full(
            [max(s // 512, 1) for s in entry.source_shape], float(number)
        )
    config = {"down_block_types": [0] * 4, "up_block_types": [0] * 4, "layers_per_block": 2}
    converted = convert_ldm_vae_checkpoint(marked, config)
    return {entries[int(tensor.flatten()[0])].source: name for name, tensor in converted.items()}


def make(folder: Path) -> list[Path]:
    """Write vae_*.npz and vae_names.json into `folder`."""
    written = []
    for name, arrays in (("tiny", run(TINY, 1, 16, 24)), ("deep_odd", run(DEEP, 2, 10, 7))):
        written.append(Path(folder) / f"vae_{name}.npz")
        np.savez_compressed(written[-1], **arrays)
    written.append(Path(folder) / "vae_names.json")
    written[-1].write_text(json.dumps(ldm_pairs(), indent=0))
    return written


if __name__ == "__main__":
    print(*make(Path(sys.argv[1])), sep="\n")
