"""Names of the tensors of networks that are not read here, from diffusers' own classes (developers
only).
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import torch

CLASSES = (
    "AllegroTransformer3DModel",
    "AsymmetricAutoencoderKL",
    "AuraFlowTransformer2DModel",
    "AutoencoderKLAllegro",
    "AutoencoderKLCogVideoX",
    "AutoencoderKLHunyuanVideo",
    "AutoencoderKLLTXVideo",
    "AutoencoderKLMochi",
    "AutoencoderKLTemporalDecoder",
    "AutoencoderKLWan",
    "AutoencoderTiny",
    "ChromaTransformer2DModel",
    "CogVideoXTransformer3DModel",
    "ControlNetModel",
    "CosmosTransformer3DModel",
    "DiTTransformer2DModel",
    "Flux2Transformer2DModel",
    "FluxControlNetModel",
    "FluxTransformer2DModel",
    "HunyuanVideoTransformer3DModel",
    "I2VGenXLUNet",
    "LTXVideoTransformer3DModel",
    "Lumina2Transformer2DModel",
    "MochiTransformer3DModel",
    "MotionAdapter",
    "PixArtTransformer2DModel",
    "QwenImageTransformer2DModel",
    "SD3Transformer2DModel",
    "SanaTransformer2DModel",
    "StableCascadeUNet",
    "T2IAdapter",
    "UNet2DConditionModel",
    "UNet3DConditionModel",
    "AutoencoderKL",
    "UNetMotionModel",
    "UNetSpatioTemporalConditionModel",
    "VQModel",
    "WanTransformer3DModel",
    "WanVACETransformer3DModel",
)
SDXL = {
    "block_out_channels": (32, 64),
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 8,
    "projection_class_embeddings_input_dim": 80,
    "transformer_layers_per_block": 2,
    "cross_attention_dim": 32,
}


def make(folder: Path) -> list[Path]:
    """Write stranger_names.json into `folder`: class -> names, of repeated blocks the first."""
    import diffusers

    found = {name: _names(getattr(diffusers, name)) for name in CLASSES}
    found["SDXL"] = _names(diffusers.UNet2DConditionModel, **SDXL)
    path = Path(folder) / "stranger_names.json"
    path.write_text(json.dumps(found, indent=0) + "\n", encoding="utf-8")
    return [path]


def _names(kind: type, **sizes: object) -> list[str]:
    with torch.device("meta"):
        held = kind(**sizes).state_dict()
    return [n for n in held if not re.search(r"\.[1-9]\d*\.", n) and not n.endswith(".bias")]


if __name__ == "__main__":
    print(*make(Path(sys.argv[1])), sep="\n")
