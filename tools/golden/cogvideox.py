"""Golden arrays of CogVideoX's networks from diffusers and transformers (developers only).

python tools/make_golden.py cogvideox
"""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parents[2] / "tests/parity"))
import cogvideox_cases as cases


def filled(net: torch.nn.Module) -> torch.nn.Module:
    """The network with the weights of `cogvideox_cases.drawn`."""
    for name, p in net.named_parameters():
        p.data = torch.from_numpy(cases.drawn(name, tuple(p.shape)))
    return net.eval()


def shapes(net: torch.nn.Module) -> dict[str, object]:
    """How many tensors there are, and a digest of their names and shapes."""
    lines = sorted(f"{k} {tuple(v.shape)}" for k, v in net.state_dict().items())
    return {"count": len(lines), "sha256": hashlib.sha256("\n".join(lines).encode()).hexdigest()}


def transformer() -> torch.nn.Module:
    """The tiny transformer."""
    from diffusers import CogVideoXTransformer3DModel

    return filled(CogVideoXTransformer3DModel(**cases.TRANSFORMER))


def forward(net: torch.nn.Module, size: tuple[int, int, int], name: str) -> dict[str, np.ndarray]:
    """Inputs, outputs and, at the sample size, gradients of sum(out * probe)."""
    generator = torch.manual_seed(7)
    frames, height, width = size
    x = torch.randn(2, frames, 4, height, width, generator=generator, requires_grad=True)
    text = torch.randn(2, 7, 20, generator=generator, requires_grad=True)
    t = torch.tensor([999, 19])
    out = net(hidden_states=x, encoder_hidden_states=text, timestep=t, return_dict=False)[0]
    found = {"x": x.transpose(1, 2), "context": text, "t": t, "out": out.transpose(1, 2)}
    if name == "sample":
        probe = torch.randn(out.shape, generator=generator)
        (out * probe).sum().backward()
        found |= {"probe": probe.transpose(1, 2), "grad_x": x.grad.transpose(1, 2)}
        found["grad_context"] = text.grad
        found |= {f"grad/{key}": p.grad for key, p in net.named_parameters()}
    return {f"{name}/{key}": tensor.detach().numpy() for key, tensor in found.items()}


def make_transformer(folder: Path) -> list[Path]:
    """The transformer on three sizes, and its table of places."""
    from diffusers.models.embeddings import get_3d_sincos_pos_embed

    net, arrays = transformer(), {}
    for name, size in cases.CASES.items():
        arrays |= forward(net, size, name)
    whole = get_3d_sincos_pos_embed(1920, (45, 30), 13, 1.875, 1.0, output_type="pt")
    some = whole.reshape(13, 30, 45, 1920)[::6, ::7, ::11, ::5]
    arrays["places"] = some.float().numpy()
    path = folder / "cogvideox_transformer.npz"
    np.savez_compressed(path, **arrays)
    return [path]


def make_vae(folder: Path) -> list[Path]:
    """The autoencoder on several lengths, and once whole, which is another result."""
    from diffusers import AutoencoderKLCogVideoX

    net, arrays = filled(AutoencoderKLCogVideoX(**cases.VAE)), {}
    height, width = cases.VAE_SIZE
    with torch.no_grad():
        for frames in cases.ENCODED:
            x = torch.from_numpy(cases.unequal(frames, 3, (height, width), frames))
            arrays[f"encode/{frames}"] = rows(net.encode(video(x)).latent_dist.parameters)
        for latents in cases.DECODED:
            z = torch.from_numpy(cases.unequal(latents, 4, (height // 4, width // 4), latents))
            arrays[f"decode/{latents}"] = rows(net.decode(video(z)).sample)
        z = torch.from_numpy(cases.unequal(7, 4, (height // 4, width // 4), 7))
        arrays["whole/7"] = rows(net.decoder(video(z))[0])
    path = folder / "cogvideox_vae.npz"
    np.savez_compressed(path, **arrays)
    return [path]


def video(x: torch.Tensor) -> torch.Tensor:
    """(F, C, H, W) -> (1, C, F, H, W)."""
    return x.transpose(0, 1)[None]


def rows(x: torch.Tensor) -> np.ndarray:
    """The way back."""
    return x[0].transpose(0, 1).numpy()


def make_keys(folder: Path) -> list[Path]:
    """Names and shapes of the published networks."""
    from diffusers import AutoencoderKLCogVideoX, CogVideoXTransformer3DModel

    levels = 4
    vae = {
        "down_block_types": ("CogVideoXDownBlock3D",) * levels,
        "up_block_types": ("CogVideoXUpBlock3D",) * levels,
        "block_out_channels": (128, 256, 256, 512),
    }
    sizes = {"num_attention_heads": 30, "attention_head_dim": 64, "num_layers": 30}
    with torch.device("meta"):
        found = {"transformer": shapes(CogVideoXTransformer3DModel(**sizes))}
        found["vae"] = shapes(AutoencoderKLCogVideoX(**vae))
    path = folder / "cogvideox_keys.json"
    path.write_text(json.dumps(found, indent=2, sort_keys=True) + "\n")
    return [path]


def make(folder: Path) -> list[Path]:
    """Write everything; returns the files."""
    return [*make_transformer(folder), *make_vae(folder), *make_keys(folder)]
