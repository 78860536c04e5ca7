"""A latent pipeline of a few thousand numbers in a folder, for tests that only need one to be there."""

import json

from omegaconf import OmegaConf

from mindlong.checkpoints.files import write_safetensors
from mindlong.checkpoints.load import arrays_of
from mindlong.config.load import model_node
from mindlong.config.rules import check
from mindlong.data.shapes import ShapesWorld
from mindlong.models.init import initialise
from mindlong.models.text_encoder import TextEncoder
from mindlong.models.tokenizer_training import learn
from mindlong.models.unet import UNet
from mindlong.models.vae import AutoencoderKL
from mindlong.utils import atomic

UNET = {"family": "modelscope", "channels": [8, 8], "layers": 1, "attends": [False, True], "head_dim": 4, "entry_heads": 1,
        "context_dim": 8, "groups": 2}  # fmt: skip
VAE = {"family": "autoencoder_kl", "block_channels": [4, 8], "layers": 1, "groups": 2, "scaling": 1.0}
TEXT = {"family": "clip_text", "vocabulary": 540, "width": 8, "layers": 1, "heads": 2, "hidden": 16, "length": 8, "pad_id": 0}
SCHEDULER = {"num_train_timesteps": 1000, "beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear",
             "prediction_type": "v_prediction", "steps_offset": 0, "clip_sample": False, "set_alpha_to_one": True,
             "timestep_spacing": "trailing"}  # fmt: skip


def spec_of(section):
    """The frozen spec of a model section."""
    values = OmegaConf.to_object(model_node(dict(section), {}, "a test"))
    check(values, "a test")
    return values.spec()


def write_pipeline(folder, seed=1):
    """unet, vae, text_encoder, tokenizer and scheduler in `folder`; returns it."""
    parts = {"unet": (UNet, UNET), "vae": (AutoencoderKL, VAE), "text_encoder": (TextEncoder, TEXT)}
    model = {**UNET, "vae": VAE, "text_encoder": TEXT}
    for name, (kind, section) in parts.items():
        cell = initialise(kind(spec_of(section)), seed)
        arrays = {f"{name}.{k}": a for k, a in arrays_of(cell).items()}
        write_safetensors(folder / f"{name}.safetensors", arrays, {"mindlong_model": json.dumps(model)})
    vocabulary, merges = learn(ShapesWorld().captions(), 540)
    atomic.write_text(folder / "tokenizer/vocab.json", json.dumps(vocabulary))
    atomic.write_text(folder / "tokenizer/merges.txt", "#version: 0.2\n" + "".join(f"{a} {b}\n" for a, b in merges))
    atomic.write_text(folder / "scheduler/scheduler_config.json", json.dumps(SCHEDULER))
    return folder
