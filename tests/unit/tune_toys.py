"""A training of Tune-A-Video on a tiny Stable Diffusion."""

from mindlong.config.load import load
from mindlong.config.schema import TrainConfig
from mindlong.data.build import build_source
from mindlong.training.tasks import build_task

FRAMES = 3


def tuning(base, video, run, frames):
    """The keys of a run on a folder of `latent_toys` and the frames of a video."""
    return {
        "model.family": "tune_a_video",
        "model.channels": "[16,32]",
        "model.attends": "[true,false]",
        "model.layers": 1,
        "model.context_dim": 24,
        "model.groups": 8,
        "model.head_dim": 8,
        "run_dir": run,
        "data.frames": frames,
        "data.size": "[16,16]",
        "latents.unet_weights": base,
        "latents.vae": base,
        "latents.text_weights": base,
        "latents.tokenizer": base / "tokenizer",
        "latents.cache": base.parent / "cache",
        "tune.video": video,
        "tune.prompt": "a dog runs",
        "diffusion.timesteps": 50,
        "diffusion.schedule": "scaled_linear",
        "diffusion.beta_start": 0.001,
        "diffusion.beta_end": 0.2,
        "diffusion.prediction": "v",
    }


def config(base, video, run, **more):
    given = tuning(base, video, run, FRAMES) | {
        "diffusion.loss": "l2",
        "train.steps": 2,
        "train.batch_size": 1,
        "train.ema_decay": 0,
        "train.optimizer": "adamw",
        "train.lr": 0.01,
        "train.clip_norm": 1.0,
        "train.preview_every": 2,
        "preview.prompts": "[a cat runs]",
        "preview.sample.steps": 2,
        "tune.inversion_steps": 2,
    }
    given |= {key.replace("__", "."): value for key, value in more.items()}
    return load(None, [f"{key}={value}" for key, value in given.items()], TrainConfig)


def task_of(loaded):
    return build_task(loaded.values, build_source(loaded.values.data, 0))
