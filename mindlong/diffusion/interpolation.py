"""A video between two videos: noise both, mix them, denoise the mixture."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from mindlong.diffusion.parameterise import add_noise
from mindlong.diffusion.sample import Plain, Sampling, sample
from mindlong.utils.errors import ConfigError

if TYPE_CHECKING:
    from mindlong.diffusion.finite import Row
    from mindlong.diffusion.guidance import Model
    from mindlong.diffusion.noising import Noising
    from mindlong.diffusion.samplers.loop import Callback, Noise
    from mindlong.diffusion.schedules import Schedule


def interpolate(
    model: Model,
    x1: np.ndarray,
    x2: np.ndarray,
    noising: Noising,
    noises: tuple[np.ndarray, np.ndarray],
    *,
    noise: Noise | None,
    t: int | None = None,
    mix: float = 0.5,
    options: Sampling | None = None,
    callback: Callback | None = None,
    rows: Sequence[Row] = (),
    compat: bool = False,
) -> np.ndarray:
    """(1 - mix) x1 + mix x2 at the noise level of timestep `t`, denoised from there.

    Args:
        model: (x, t) -> prediction.
        x1, x2: (B, ...) in [-1, 1], or scaled latents.
        noising: what the network was trained on.
        noises: those of noising x1 and x2, shaped like them.
        noise: that of the sampler's steps.
        t: the level; None: the last, where little of the two is left.
        mix: the share of x2, 0 to 1.
        options: how it is denoised; None: by every timestep from `t` down, as Video Diffusion
            Models do.
        callback, rows: as for `mindlong.diffusion.sample.sample`.
        compat: the first step is t - 1, one below the level that the mixture has, as in Video
            Diffusion Models' code.

    Returns:
        (B, ...) float32, in the range of x1 and x2.

    Raises:
        ConfigError: two shapes, a timestep or a share outside its range.
    """
    t = noising.schedule.timesteps - 1 if t is None else t
    mixed = _mixed(x1, x2, noising.schedule, noises, t, mix)
    return sample(
        options or Plain("ddpm"),
        model,
        mixed,
        noising.first(t if compat else t + 1),
        noise=noise,
        callback=callback,
        rows=rows,
        pure_noise=False,
    )


def _mixed(
    x1: np.ndarray,
    x2: np.ndarray,
    schedule: Schedule,
    noises: tuple[np.ndarray, np.ndarray],
    t: int,
    mix: float,
) -> np.ndarray:
    """Both noised to timestep `t`, and the mixture of them. Raises as `interpolate`."""
    if x1.shape != x2.shape:
        raise ConfigError(
            f"Interpolation needs two videos of one shape; they are {x1.shape} and {x2.shape}."
        )
    if not 0 < t < schedule.timesteps:
        raise ConfigError(
            f"Interpolation needs a timestep between 1 and {schedule.timesteps - 1}; it got {t}."
        )
    if not 0 <= mix <= 1:
        raise ConfigError(f"The share of the second video is {mix:g}; it must be from 0 to 1.")
    level = schedule.level(t)
    first, second = (
        add_noise(x, eps, level.signal, level.sigma)
        for x, eps in zip((x1, x2), noises, strict=True)
    )
    return ((1.0 - mix) * first + mix * second).astype(np.float32)
