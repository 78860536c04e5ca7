"""A video between two videos: noise both, mix them, denoise the mixture."""

from __future__ import annotations

import numpy as np

from mindlong.diffusion.guidance import Model
from mindlong.diffusion.parameterise import add_noise
from mindlong.diffusion.samplers.ddpm import sample_ddpm
from mindlong.diffusion.samplers.loop import Callback, Noise
from mindlong.diffusion.schedules import Schedule
from mindlong.diffusion.thresholding import Clip, static_threshold
from mindlong.utils.errors import ConfigError


def interpolate_raw(
    model: Model,
    x1: np.ndarray,
    x2: np.ndarray,
    schedule: Schedule,
    noises: tuple[np.ndarray, np.ndarray],
    *,
    noise: Noise,
    t: int | None = None,
    lam: float = 0.5,
    callback: Callback | None = None,
    prediction: str = "eps",
    clip: Clip | None = None,
    compat: bool = False,
) -> np.ndarray:
    """(1 - lam) x1 + lam x2 at noise level `t` (default: the last), denoised by ancestral sampling.

    x1, x2 and the result (B, ...) are in [-1, 1]; `noises` are the two of noising x1 and x2;
    `noise(step)` is the sampler's.
    With `compat` the first step is t - 1, one below the level the mixture has, as in Video
    Diffusion Models' code.
    """
    t = schedule.timesteps - 1 if t is None else t
    if x1.shape != x2.shape:
        raise ConfigError(
            f"Interpolation needs two videos of one shape; they are {x1.shape} and {x2.shape}."
        )
    if not 0 < t < schedule.timesteps:
        raise ConfigError(
            f"Interpolation needs a timestep between 1 and {schedule.timesteps - 1}; it got {t}."
        )
    level = schedule.level(t)
    noisy = [
        add_noise(x, eps, level.signal, level.sigma)
        for x, eps in zip((x1, x2), noises, strict=True)
    ]
    mixed = ((1.0 - lam) * noisy[0] + lam * noisy[1]).astype(np.float32)
    times = range(t - 1 if compat else t, -1, -1)
    clip = static_threshold() if clip is None else clip
    return sample_ddpm(
        model,
        mixed,
        schedule,
        noise=noise,
        callback=callback,
        prediction=prediction,
        clip=clip,
        times=times,
    )


def interpolate(
    model: Model,
    video1: np.ndarray,
    video2: np.ndarray,
    schedule: Schedule,
    noises: tuple[np.ndarray, np.ndarray],
    **options: object,
) -> np.ndarray:
    """`interpolate_raw` on videos in [0, 1], as they are read from files; returns [0, 1]. `options`
    as there.
    """
    return (
        interpolate_raw(model, video1 * 2 - 1, video2 * 2 - 1, schedule, noises, **options) + 1
    ) / 2
