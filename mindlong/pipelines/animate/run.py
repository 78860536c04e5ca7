"""The animation pipeline as a run: images in, a video of each out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mindlong.diffusion.sample import count_steps, sampler_of
from mindlong.pipelines.animate.make import animator
from mindlong.pipelines.animate.plan import (
    check_ends,
    clips_of,
    parts_of,
    size_of,
    told_rate,
    written,
)
from mindlong.pipelines.clip_work import ClipWork
from mindlong.pipelines.load_model import from_parts

if TYPE_CHECKING:
    from mindlong.pipelines.session import Session


def run(session: Session) -> None:
    """Make the videos of a configuration."""
    config, own = session.config, session.config.animate
    parts = parts_of(config)
    frames, height, width = size_of(config, parts.size)
    model = from_parts(parts, config.latent)
    check_ends(own, model.denoises.images)
    shape, clips = model.latent_shape(frames, height, width), clips_of(config, frames)
    fps = told_rate(model.denoises.images, config.conditioning.fs)
    steps = count_steps(config.sample, model.noising)
    session.open_with(
        {
            "weights": parts.where,
            "plan": f"{len(clips)} videos, {frames} frames {height}x{width}, "
            f"{sampler_of(config.sample, model.noising).name} {steps} steps, guidance "
            f"{config.sample.guidance:g}, {model.noising.prediction} predicted, rate {fps}",
        }
    )
    names = [path for path in own.given() for _ in range(config.count)]
    said = {c.number: {"negative": own.negative, "image": names[c.number]} for c in clips}
    ClipWork(
        session,
        model,
        shape,
        lambda clips: animator(config, model, clips),
        {"fps": fps, "clips": said},
        frames=written(own, frames),
        keep_latents=own.keep_latents,
    ).run(clips, parts.where)
