"""A whole latent pipeline of tiny random networks, as a folder of ours."""

import json
from pathlib import Path

import numpy as np
import yaml

from mindlong.checkpoints.files import write_safetensors
from mindlong.networks import table
from mindlong.networks.clip import text_names as clip_names
from mindlong.networks.clip import text_spec as clip_text
from mindlong.networks.clip import vision_spec
from mindlong.networks.resampler import names as resampler_names
from mindlong.networks.resampler.spec import ResamplerSpec
from mindlong.networks.unet import names as unet_names
from mindlong.networks.unet.families import FAMILIES
from mindlong.networks.vae import names as vae_names
from mindlong.networks.vae import spec as vae
from mindlong.utils import rng

SIZES = {
    "channels": (16, 32),
    "attends": (True, False),
    "layers": 1,
    "context_dim": 24,
    "groups": 8,
    "head_dim": 8,
    "heads": None,
}
VAE = vae.VaeSpec(block_channels=(8, 16), layers=1, groups=4, scaling=0.5)
TEXT = clip_text.ClipTextSpec(
    vocabulary=300, width=24, layers=1, heads=2, hidden=32, length=8, activation="gelu", pad_id=0
)
VISION = vision_spec.ClipVisionSpec(
    size=8,
    patch=4,
    width=16,
    layers=1,
    heads=2,
    hidden=32,
    projection=6,
    text_width=24,
    activation="gelu",
)
RESAMPLER = ResamplerSpec(
    tokens=32, width=16, layers=1, heads=2, head_dim=8, hidden=32, reads=16, gives=24
)
SCHEDULER = {
    "num_train_timesteps": 50,
    "beta_start": 0.001,
    "beta_end": 0.2,
    "beta_schedule": "scaled_linear",
    "prediction_type": "v_prediction",
    "steps_offset": 1,
    "set_alpha_to_one": False,
    "clip_sample": False,
}


def parts_of(family: str, **changed) -> dict[str, tuple]:
    """Part -> (family, spec, entries in the usual naming) of a pipeline; `changed` go before
    SIZES.
    """
    images = FAMILIES[family].images
    entry = {"entry_heads": 2} if FAMILIES[family].fixed.get("entry") else {}
    entry |= {"text_tokens": TEXT.length} if images else {}
    spec = FAMILIES[family].spec(**SIZES | entry | changed)
    layout = "lvdm" if images else "diffusers"
    parts = {
        "unet": (family, spec, unet_names.names(spec, layout)),
        "vae": ("autoencoder_kl", VAE, vae_names.names(VAE)),
        "text_encoder": ("clip_text", TEXT, clip_names.names(TEXT)),
    }
    if images:
        parts["image_encoder"] = ("clip_vision", VISION, vision_spec.names(VISION))
        parts["projector"] = ("resampler", RESAMPLER, resampler_names.names(RESAMPLER))
    return parts


def folder(where: Path, family: str = "modelscope", **changed) -> Path:
    """Write the pipeline; every number is random, also those that start at zero. `changed` go
    before SIZES.
    """
    parts = parts_of(family, **changed)
    for part, (name, sizes, entries) in parts.items():
        arrays = {f"{part}.{e.ours}": drawn(part, e.ours, e.our_shape) for e in entries}
        write_safetensors(where / f"{part}.safetensors", arrays)
        (where / f"{part}.yaml").write_text(yaml.safe_dump(table.get(name).section(sizes)))
    tokenizer(where / "tokenizer")
    if not FAMILIES[family].images:  # those have a process of their own, by the families' facts
        (where / "scheduler").mkdir()
        (where / "scheduler/scheduler_config.json").write_text(json.dumps(SCHEDULER))
    return where


def drawn(part: str, name: str, shape: tuple[int, ...]) -> np.ndarray:
    """Random numbers of a size that keeps the network in range; norms' weights are near one."""
    fan_in = int(np.prod(shape[1:])) if len(shape) > 1 else 16
    near = 1.0 if "norm" in name and name.endswith("weight") else 0.0
    return (near + rng.normal(shape, 0, "toy", part, name) / np.sqrt(fan_in)).astype(np.float32)


def tokenizer(where: Path) -> None:
    """A vocabulary of single letters with no merges."""
    from mindlong.networks.clip.tokenizer import END, START, WORD_END, byte_letters

    letters = byte_letters()[:140]
    tokens = [*letters, *(letter + WORD_END for letter in letters), START, END]
    where.mkdir(parents=True)
    (where / "vocab.json").write_text(json.dumps({token: i for i, token in enumerate(tokens)}))
    (where / "merges.txt").write_text("#version: 0.2\n")
