"""The keys of infer.py that name files."""

from __future__ import annotations

# keys that name whatever `weights=` can name, and keys that name one file or one folder of files
WEIGHTS = (
    "weights",
    "latent.motion",
    "latent.vae",
    "latent.text_encoder",
    "latent.image_encoder",
    "latent.projector",
    "hierarchical.key_weights",
    "hierarchical.branch",
    "interpolate.key_weights",
    "interpolate.stage_weights",
    "edit.tuned",
    "pixel.text_encoder",
)
FILES = (
    "latent.tokenizer",
    "latent.scheduler",
    "text_to_video.start",
    "text_to_video.video",
    "text_to_video.image",
    "animate.image",
    "animate.images",
    "animate.last",
    "hierarchical.images",
    "hierarchical.key_video",
    "hierarchical.first",
    "hierarchical.last",
    "hierarchical.video",
    "interpolate.video",
    "interpolate.images",
    "interpolate.key_latents",
    "extend.video",
    "extend.images",
    "edit.video",
    "pixel.interpolate",
)
LORAS = "lora"  # names files with their strengths, which are no places
