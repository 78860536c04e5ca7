"""Tiny bases and LoRA files over them in every naming; the numbers are functions of the names, so
that tools/golden/lora.py and the tests make the same files.
"""

from __future__ import annotations

import json
import zlib
from pathlib import Path

import latent_toys
import numpy as np

from mindlong.checkpoints.files import write_safetensors
from mindlong.checkpoints.lazy import as_lazy
from mindlong.checkpoints.parts import Part
from mindlong.networks import table
from mindlong.networks.lora_names import Layer, layers
from mindlong.networks.unet.families import FAMILIES
from mindlong.utils import rng

SIZES = {
    "channels": (16, 32),
    "attends": (True, False),
    "layers": 1,
    "context_dim": 24,
    "groups": 8,
    "heads": 2,
    "head_dim": None,
}
OUTSIDE = ("conv_in", "conv_out", "time_embedding")  # sd-scripts leave these alone


def parts(family: str = "stable_diffusion", linear: bool = False, **sizes) -> dict[str, Part]:
    """role -> network and text encoder, random."""
    more = {"linear_projection": linear} if family == "stable_diffusion" else {}
    spec = FAMILIES[family].spec(**{**SIZES, **more, **sizes})
    network, text = table.get(family), table.get("clip_text")
    return {
        "network": _part(network, spec, "unet"),
        "text_encoder": _part(text, latent_toys.TEXT, "text_encoder"),
    }


def _part(network, spec, word: str) -> Part:
    arrays = {
        e.ours: as_lazy(latent_toys.drawn(word, e.ours, e.our_shape))
        for e in network.formats[0].entries(spec)
    }
    return Part(network, spec, arrays)


def targets(part: Part, word: str, convolutions: bool = True) -> list[Layer]:
    """The layers that a file of kohya's changes: those of blocks, with `convolutions` LoCon's."""
    found = [
        each for each in layers(part.network, part.spec) if not each.source.startswith(OUTSIDE)
    ]
    if word == "unet" and not convolutions:
        return [each for each in found if ".spatial." in each.ours]
    return found


def of(name: str, number: int) -> int:
    """A number below `number` that belongs to a name."""
    return zlib.crc32(name.encode()) % number


def matrices(layer: Layer, rank: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """A and B as files have them."""
    cout, *inner = layer.source_shape
    down, up = (rank, *inner), (cout, rank, *[1] * (len(inner) - 1))
    return tuple(
        (rng.normal(shape, seed, "lora", layer.source, half) * 0.2).astype(np.float32)
        for half, shape in (("down", down), ("up", up))
    )


def kohya(base: dict[str, Part], seed: int = 0, alphas=(1.0, 2.0, 4.0, None)) -> dict:
    """lora_unet_..., lora_te_text_model_..., ranks and alphas mixed."""
    arrays = {}
    for role, head in (("network", "lora_unet_"), ("text_encoder", "lora_te_text_model_")):
        for layer in targets(base[role], "unet" if role == "network" else ""):
            stem = head + layer.source.replace(".", "_")
            down, up = matrices(layer, 2 + of(stem, 3), seed)
            arrays[f"{stem}.lora_down.weight"], arrays[f"{stem}.lora_up.weight"] = down, up
            alpha = alphas[of(stem + "alpha", len(alphas))]
            if alpha is not None:
                arrays[f"{stem}.alpha"] = np.float32(alpha).reshape(())
    return arrays


def peft(base: dict[str, Part], seed: int = 0, rank: int = 3) -> dict:
    """unet....lora_A.weight, text_encoder.text_model....lora_A.weight."""
    arrays = {}
    for role, head in (("network", "unet."), ("text_encoder", "text_encoder.text_model.")):
        for layer in targets(base[role], "unet" if role == "network" else ""):
            down, up = matrices(layer, rank, seed)
            arrays[f"{head}{layer.source}.lora_A.weight"] = down
            arrays[f"{head}{layer.source}.lora_B.weight"] = up
    return arrays


def processors(base: dict[str, Part], head: str = "unet.", seed: int = 0, rank: int = 3) -> dict:
    """Older diffusers: attention processors of the UNet; also AnimateDiff's domain adapter, whose
    `head` is empty.
    """
    arrays = {}
    for layer in targets(base["network"], "unet", False):
        block, _, leaf = layer.source.removesuffix(".0").rpartition(".")
        if leaf in ("to_q", "to_k", "to_v", "to_out") and layer.source.split(".")[-1] in (
            leaf,
            "0",
        ):
            down, up = matrices(layer, rank, seed)
            stem = f"{head}{block}.processor.{leaf}_lora"
            arrays[f"{stem}.down.weight"], arrays[f"{stem}.up.weight"] = down, up
    return arrays


def adapter(**facts) -> dict[str, str]:
    """diffusers' metadata."""
    return {"lora_adapter_metadata": json.dumps(facts)}


def write(path: Path, arrays: dict, metadata: dict | None = None) -> Path:
    write_safetensors(path, arrays, metadata)
    return path


def few(array: np.ndarray) -> np.ndarray:
    """Eight numbers of a weight, evenly spaced."""
    flat = np.asarray(array, np.float32).reshape(-1)
    return flat[np.linspace(0, flat.size - 1, 8).astype(int)]
