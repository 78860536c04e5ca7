"""The words of other programs' Tune-A-Video (mindone's and the original's), and the key of ours
that each of them is.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mindlong.utils.errors import ConfigError, did_you_mean

Turn = Callable[[Any], Any]
VERSIONS = {  # of mindone's --version -> our configuration
    "1.5": "tune_a_video_sd15",
    "2.0": "tune_a_video_sd20",
    "2.1": "tune_a_video_sd20",
    "2.0-v": "tune_a_video_sd21",
    "2.1-v": "tune_a_video_sd21",
}
SCHEDULES = {"constant": "constant", "cosine_decay": "cosine", "polynomial_decay": "linear"}


def same(value: Any) -> Any:
    """The value as it is."""
    return value


def _square(value: Any) -> list[Any]:
    return [value, value]


def _patterns(value: Any) -> list[str]:
    """Parts of parameters' names as patterns."""
    parts = [value] if isinstance(value, str) else value
    return [f"unet.*{str(part).removesuffix('.')}.*" for part in parts]


def _schedule(value: Any) -> str:
    if value not in SCHEDULES:
        raise ConfigError(f"scheduler is {value!r}.{did_you_mean(str(value), SCHEDULES)}")
    return SCHEDULES[value]


def _precision(value: Any) -> str:
    return "fp32" if value in ("no", None, False) else str(value)


def _averages(value: Any) -> float:
    return 0.9999 if value else 0.0


MINDONE: dict[str, tuple[str, Turn]] = {
    "video_path": ("tune.video", same),
    "prompt": ("tune.prompt", same),
    "num_frames": ("data.frames", same),
    "sample_start_idx": ("tune.start", same),
    "sample_interval": ("data.stride", same),
    "image_size": ("data.size", _square),
    "output_path": ("run_dir", same),
    "trainable_modules": ("tune.trainable", _patterns),
    "optim": ("train.optimizer", same),
    "weight_decay": ("train.weight_decay", same),
    "betas": ("train.betas", same),
    "seed": ("train.seed", same),
    "warmup_steps": ("train.warmup", same),
    "train_batch_size": ("train.batch_size", same),
    "start_learning_rate": ("train.lr", same),
    "scheduler": ("train.schedule", _schedule),
    "max_train_steps": ("train.steps", same),
    "init_loss_scale": ("train.loss_scale", same),
    "scale_window": ("train.loss_scale_every", same),
    "gradient_accumulation_steps": ("train.accumulate", same),
    "use_ema": ("train.ema_decay", _averages),
    "ckpt_save_interval": ("train.save_every", same),
}
MINDONE_IDLE = [
    "train_config",
    "version",
    "pretrained_model_path",
    "pretrained_model_file",
    "clip_grad",
    "max_grad_norm",
    "model_config",
    "resume",
    "mode",
    "use_parallel",
    "enable_modelarts",
    "num_workers",
    "json_data_path",
    "epochs",
    "callback_size",
    "end_learning_rate",
    "decay_steps",
    "loss_scale_factor",
    "step_mode",
    "log_level",
]
ORIGINAL: dict[str, tuple[str, Turn]] = {
    "pretrained_model_path": ("latents.unet_weights", same),
    "output_dir": ("run_dir", same),
    "train_data.video_path": ("tune.video", same),
    "train_data.prompt": ("tune.prompt", same),
    "train_data.n_sample_frames": ("data.frames", same),
    "train_data.sample_start_idx": ("tune.start", same),
    "train_data.sample_frame_rate": ("data.stride", same),
    "validation_data.prompts": ("preview.prompts", same),
    "validation_data.num_inference_steps": ("preview.sample.steps", same),
    "validation_data.guidance_scale": ("preview.sample.guidance", same),
    "validation_data.use_inv_latent": ("tune.inverted", same),
    "validation_data.num_inv_steps": ("tune.inversion_steps", same),
    "learning_rate": ("train.lr", same),
    "train_batch_size": ("train.batch_size", same),
    "max_train_steps": ("train.steps", same),
    "checkpointing_steps": ("train.save_every", same),
    "validation_steps": ("train.preview_every", same),
    "trainable_modules": ("tune.trainable", _patterns),
    "seed": ("train.seed", same),
    "mixed_precision": ("train.precision", _precision),
    "gradient_checkpointing": ("train.recompute", same),
    "gradient_accumulation_steps": ("train.accumulate", same),
    "max_grad_norm": ("train.clip_norm", same),
    "adam_weight_decay": ("train.weight_decay", same),
    "adam_epsilon": ("train.eps", same),
    "lr_warmup_steps": ("train.warmup", same),
}
ORIGINAL_IDLE = [
    "train_data.width",
    "train_data.height",
    "validation_data.video_length",
    "validation_data.width",
    "validation_data.height",
    "use_8bit_adam",
    "enable_xformers_memory_efficient_attention",
    "scale_lr",
    "lr_scheduler",
    "adam_beta1",
    "adam_beta2",
    "resume_from_checkpoint",
]
INFERENCE = {  # mindone's inference_tuneavideo.py: words of its command line
    "ckpt_path": "weights",
    "video_path": "edit.video",
    "num_frames": "frames",
    "sample_start_idx": "edit.start",
    "sample_interval": "edit.stride",
    "negative_prompt": "edit.negative",
    "sampling_steps": "sample.steps",
    "inv_sampling_steps": "edit.invert_steps",
    "ddim_eta": "sample.eta",
    "use_inv_latent": "edit.invert",
    "output_path": "output",
    "n_samples": "count",
    "fps": "fps",
}
TRAINING = {  # mindone's words on the command line of a training
    *MINDONE,
    "train_config",
    "version",
    "pretrained_model_path",
    "pretrained_model_file",
} - {"prompt", "seed", "optim"}
CHECKPOINT = "ckpt_path"  # by which mindone's words on the command line of a run are known
