"""Weight files as PyTorch itself writes them, for the reader's tests (developers only: needs
torch).

`torch_formats.pt` holds every number format, windows, ties and parameters; `vdm_trainer.pt` is what
the trainer of video-diffusion-pytorch 0.7.0 saves, of a very small network. Beside each lies a
.json with the shape, format and SHA-256 of every array as torch sees it.
"""

from __future__ import annotations

import hashlib
import json
from collections import OrderedDict
from pathlib import Path

import numpy as np
import torch
from diffusion import original


def make(folder: Path) -> list[Path]:
    """Write the files into `folder`/checkpoints."""
    folder = folder / "checkpoints"
    folder.mkdir(exist_ok=True)
    return [
        *_pair(folder / "torch_formats.pt", _formats()),
        *_pair(folder / "vdm_trainer.pt", _trainer()),
    ]


def _formats() -> dict:
    torch.manual_seed(0)
    base = torch.randn(6, 8)
    state = OrderedDict(
        whole=base, tied=base, turned=base.t(), part=base[2:5, 3:7], every_other=base[:, 1::2]
    )
    kinds = (
        torch.float64,
        torch.float16,
        torch.bfloat16,
        torch.int64,
        torch.int32,
        torch.int16,
        torch.int8,
        torch.uint8,
    )
    for kind in kinds:
        state[str(kind).removeprefix("torch.")] = (torch.randn(3, 5) * 40).abs().to(kind)
    state |= {
        "bool": torch.randn(7) > 0,
        "scalar": torch.tensor(2.5),
        "none": torch.zeros(0, 3),
        "parameter": torch.nn.Parameter(torch.randn(4)),
    }
    return {
        "epoch": 3,
        "rate": 1e-4,
        "name": "formats",
        "state_dict": state,
        "layer": torch.nn.BatchNorm1d(4).state_dict(),
    }


def _trainer() -> dict:
    module = original()
    torch.manual_seed(1)
    network = module.Unet3D(dim=4, dim_mults=(1,), attn_heads=1, attn_dim_head=8, channels=1)
    state = module.GaussianDiffusion(
        network, image_size=8, num_frames=3, channels=1, timesteps=10
    ).state_dict()
    averaged = {
        key: value + 0.25 if key.startswith("denoise_fn") and "freqs" not in key else value
        for key, value in state.items()
    }
    shared = next(key for key in averaged if key.endswith("freqs"))
    averaged |= {key: averaged[shared] for key in averaged if key.endswith("freqs")}
    return {"step": 4321, "model": state, "ema": OrderedDict(averaged), "scaler": {}}


def _pair(path: Path, tree: dict) -> list[Path]:
    torch.save(tree, path)
    rows = {
        name: [list(array.shape), array.dtype.name, hashlib.sha256(array.tobytes()).hexdigest()]
        for name, array in _arrays(torch.load(path, weights_only=True))
    }
    listed = path.with_suffix(".json")
    listed.write_text(json.dumps(rows, indent=0) + "\n")
    return [path, listed]


def _arrays(tree: dict, prefix: str = ""):
    for name, value in tree.items():
        if isinstance(value, dict):
            yield from _arrays(value, f"{prefix}{name}.")
        elif isinstance(value, torch.Tensor):
            plain = value.detach()
            array = (plain.float() if plain.dtype == torch.bfloat16 else plain).numpy()
            yield prefix + name, np.array(array, order="C")
