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
VAE = {  # of diffusers' AutoencoderKLCogVideoX
    "down_block_types": ("CogVideoXDownBlock3D",) * 3,
    "up_block_types": ("CogVideoXUpBlock3D",) * 3,
    "block_out_channels": (8, 16, 16),
    "latent_channels": 4,
    "layers_per_block": 1,
    "norm_num_groups": 4,
    "temporal_compression_ratio": 4,
}
VAE_SIZE = (8, 12)  # pixels
ENCODED, DECODED = (1, 9, 17, 12), (1, 2, 3, 5, 7, 8)  # images, latents

T5 = {  # of transformers' T5Config
    "vocab_size": 120,
    "d_model": 32,
    "d_kv": 8,
    "d_ff": 48,
    "num_layers": 2,
    "num_heads": 3,
    "relative_attention_num_buckets": 32,
    "relative_attention_max_distance": 128,
    "feed_forward_proj": "gated-gelu",
    "dropout_rate": 0.0,
}
T5_LENGTH = 150  # so that every bucket is read
SCHEDULER = {  # CogVideoX-2B's scheduler_config.json
    "num_train_timesteps": 1000,
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "prediction_type": "v_prediction",
    "rescale_betas_zero_snr": True,
    "set_alpha_to_one": True,
    "snr_shift_scale": 3.0,
    "steps_offset": 0,
    "timestep_spacing": "trailing",
    "clip_sample": False,
}
STEPS = (50, 30, 7)
NOISY_SHAPE = (1, 2, 2, 2, 3)


def noise(number: int) -> np.ndarray:
    """The noise of a draw; 0 is what sampling starts from."""
    return np.random.default_rng(100 + number).standard_normal(NOISY_SHAPE).astype(np.float32)


def toy(x: np.ndarray, t: float) -> np.ndarray:
    """A stand-in for a network that predicts v."""
    return (0.6 * np.tanh(x) + 0.2 * np.sin(t / 150.0)).astype(np.float32)


def unequal(rows: int, channels: int, size: tuple[int, int], seed: int) -> np.ndarray:
    """Rows whose scale differs, so that statistics over other chunks show."""
    noise = np.random.default_rng(seed).standard_normal((rows, channels, *size))
    return (noise * (0.3 + np.arange(rows) % 4)[:, None, None, None]).astype(np.float32)


def drawn(name: str, shape: tuple[int, ...], scale: float = 1.0) -> np.ndarray:
    """The weight of a tensor of the original, a function of its name: of a size that keeps every
    layer alive; norms' weights are near one.
    """
    generator = np.random.default_rng(zlib.crc32(name.encode()))
    fan_in = int(np.prod(shape[1:])) if len(shape) > 1 else 16
    norm = "norm" in name and name.endswith("weight") and len(shape) == 1
    noise = generator.standard_normal(shape) * scale * fan_in**-0.5
    return (float(norm) + noise).astype(np.float32)
