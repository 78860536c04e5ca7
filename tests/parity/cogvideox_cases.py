"""Tiny CogVideoX networks that the golden arrays and the tests share; no MindSpore, no PyTorch."""

import zlib

import numpy as np

TRANSFORMER = {  # of diffusers' CogVideoXTransformer3DModel
    "num_attention_heads": 2,
    "attention_head_dim": 16,
    "in_channels": 4,
    "out_channels": 4,
    "time_embed_dim": 24,
    "text_embed_dim": 20,
    "num_layers": 2,
    "sample_width": 12,
    "sample_height": 8,
    "sample_frames": 9,
    "patch_size": 2,
    "temporal_compression_ratio": 4,
    "max_text_seq_length": 7,
    "use_rotary_positional_embeddings": False,
    "spatial_interpolation_scale": 1.875,
    "temporal_interpolation_scale": 1.0,
}
CASES = {  # latent frames, rows and columns of each case
    "sample": (3, 8, 12),
    "other": (5, 6, 10),
    "one": (1, 8, 12),
}


def drawn(name: str, shape: tuple[int, ...], scale: float = 1.0) -> np.ndarray:
    """The weight of a tensor of the original, a function of its name: of a size that keeps every
    layer alive; norms' weights are near one.
    """
    generator = np.random.default_rng(zlib.crc32(name.encode()))
    fan_in = int(np.prod(shape[1:])) if len(shape) > 1 else 16
    norm = "norm" in name and name.endswith("weight") and len(shape) == 1
    noise = generator.standard_normal(shape) * scale * fan_in**-0.5
    return (float(norm) + noise).astype(np.float32)
