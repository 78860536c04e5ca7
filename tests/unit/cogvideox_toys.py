"""A whole CogVideoX of tiny random networks, as a folder of diffusers."""

import json
import lzma
from pathlib import Path

from latent_toys import drawn

from mindlong.checkpoints.files import write_safetensors
from mindlong.networks import table
from mindlong.networks.cogvideox.spec import CogVideoXSpec
from mindlong.networks.cogvideox_vae.spec import VideoVaeSpec
from mindlong.networks.t5.spec import T5Spec

GOLDEN = Path(__file__).parents[1] / "golden"
SPEC = CogVideoXSpec(
    heads=2,
    head_dim=16,
    layers=1,
    in_channels=4,
    out_channels=4,
    time_dim=16,
    context_dim=32,
    tokens=10,
    sample=(3, 4, 6),
)
VAE = VideoVaeSpec(latent_channels=4, block_channels=(8, 8, 8), layers=1, groups=4, time=4)
TEXT = T5Spec(vocabulary=384, width=32, layers=1, heads=2, head_dim=8, hidden=48, length=10)
SCHEDULER = {
    "_class_name": "CogVideoXDDIMScheduler",
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "beta_start": 0.00085,
    "clip_sample": False,
    "num_train_timesteps": 1000,
    "prediction_type": "v_prediction",
    "rescale_betas_zero_snr": True,
    "set_alpha_to_one": True,
    "snr_shift_scale": 3.0,
    "steps_offset": 0,
    "timestep_spacing": "trailing",
}


def state(family, spec, part):
    """Random tensors under diffusers' names, ties too."""
    entries = table.get(family).formats[0].entries(spec)
    named = [(key, e) for e in entries for key in (e.source, *e.ties)]
    return {key: drawn(part, e.source, e.source_shape) for key, e in named}


def folder(where: Path, spec: CogVideoXSpec = SPEC) -> Path:
    """Write the pipeline; every number is random."""
    parts = {
        "transformer": ("cogvideox", spec),
        "vae": ("cogvideox_vae", VAE),
        "text_encoder": ("t5", TEXT),
    }
    for part, (family, sizes) in parts.items():
        hub = table.get(family).hub
        (where / part).mkdir(parents=True)
        write_safetensors(where / part / hub.file, state(family, sizes, part))
        config = {"_class_name": hub.name, **hub.config(sizes)}
        (where / part / "config.json").write_text(json.dumps(config))
    tokenizer(where / "tokenizer")
    (where / "scheduler").mkdir()
    (where / "scheduler/scheduler_config.json").write_text(json.dumps(SCHEDULER))
    (where / "model_index.json").write_text(json.dumps({"_class_name": "CogVideoXPipeline"}))
    return where


def tokenizer(where: Path) -> None:
    """T5's, of a few hundred pieces."""
    where.mkdir(parents=True)
    packed = (GOLDEN / "cogvideox_spiece.model.xz").read_bytes()
    (where / "spiece.model").write_bytes(lzma.decompress(packed))


TRAINING = {
    "model.family": "cogvideox",
    "model.heads": "2",
    "model.head_dim": "16",
    "model.layers": "1",
    "model.in_channels": "4",
    "model.out_channels": "4",
    "model.time_dim": "16",
    "model.context_dim": "32",
    "model.tokens": "10",
    "model.sample": "[3,4,6]",
    "data.kind": "shapes",
    "data.size": "[16,24]",
    "data.frames": "9",
    "train.steps": "3",
    "train.batch_size": "2",
    "train.preview_every": "0",
    "latents.clips": "3",
    "diffusion.schedule": "scaled_linear",
    "diffusion.snr_shift": "3",
    "diffusion.zero_terminal_snr": "true",
    "diffusion.prediction": "v",
    "diffusion.loss": "l2",
    "diffusion.cond_drop": "0.3",
}


def training(where: Path, run: Path, **more: str) -> list[str]:
    """The keys of a training of the tiny transformer in the folder's latents, on its text."""
    keys = TRAINING | {
        "run_dir": str(run),
        "latents.vae": str(where),
        "latents.text_weights": str(where),
        "latents.unet_weights": str(where),
        "latents.tokenizer": str(where / "tokenizer"),
    }
    return [f"{key}={value}" for key, value in (keys | more).items()]
