"""A training of Tune-A-Video on a tiny Stable Diffusion."""


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
