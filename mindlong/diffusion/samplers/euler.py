"""Euler's method in the variance-exploding picture (EDM, arXiv 2206.00364): y = x / alpha = x0 + s
eps, with s = sigma / alpha.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mindlong.diffusion.guidance import Model
from mindlong.diffusion.samplers.dpm_solver import floored
from mindlong.diffusion.samplers.loop import Callback, Denoiser, Noise, add, walk
from mindlong.diffusion.samplers.spacing import check_steps, times_of
from mindlong.diffusion.schedules import Level, Schedule
from mindlong.diffusion.thresholding import Clip
from mindlong.utils.errors import ConfigError


def sample_euler(
    model: Model,
    x_T: np.ndarray,
    schedule: Schedule,
    steps: int = 30,
    *,
    noise: Noise | None = None,
    callback: Callback | None = None,
    prediction: str = "eps",
    clip: Clip | None = None,
    times: Sequence[float] | None = None,
    spacing: str = "leading",
    offset: int = 1,
) -> np.ndarray:
    """A sample by Euler steps; arguments and errors as in `mindlong.diffusion.samplers`. `noise` is
    not used.

    With spacing "linspace" the timesteps are not rounded: the model is then asked at fractional
    timesteps (float32).
    """
    return _sample(
        model, x_T, schedule, steps, None, 0.0, callback, prediction, clip, times, spacing, offset
    )


def sample_euler_ancestral(
    model: Model,
    x_T: np.ndarray,
    schedule: Schedule,
    steps: int = 30,
    *,
    noise: Noise | None = None,
    callback: Callback | None = None,
    prediction: str = "eps",
    clip: Clip | None = None,
    times: Sequence[float] | None = None,
    spacing: str = "leading",
    offset: int = 1,
) -> np.ndarray:
    """Ancestral Euler: each step goes down further and returns with fresh noise. As `sample_euler`,
    with noise.
    """
    return _sample(
        model, x_T, schedule, steps, noise, 1.0, callback, prediction, clip, times, spacing, offset
    )


def _sample(
    model: Model,
    x_T: np.ndarray,
    schedule: Schedule,
    steps: int,
    noise: Noise | None,
    eta: float,
    callback: Callback | None,
    prediction: str,
    clip: Clip | None,
    times: Sequence[float] | None,
    spacing: str,
    offset: int,
) -> np.ndarray:
    if times is None:
        times = _times(spacing, schedule.timesteps, steps, offset)
    levels = [level_between(schedule, t) for t in times]
    spreads = [level.sigma / level.signal for level in levels] + [0.0]
    # one denoising loop serves every sampler, in x; the published start is y = s x_T, or sqrt(s^2 +
    # 1) x_T (= x_T in x) for leading
    start = 1.0 if spacing == "leading" else levels[0].sigma

    def update(step: int, x: np.ndarray, x0: np.ndarray, eps: np.ndarray) -> np.ndarray:
        now, after = spreads[step], spreads[step + 1]
        up = eta * min(after, (after**2 * max(now**2 - after**2, 0.0)) ** 0.5 / now)
        down = max(after**2 - up**2, 0.0) ** 0.5
        y = x / levels[step].signal
        y = add(y + (down - now) * ((y - x0) / now), up, noise, step)
        return y * levels[step + 1].signal if step + 1 < len(levels) else y

    x_start = np.asarray(x_T, np.float32) * start
    return walk(Denoiser(model, prediction, clip), x_start, times, levels, update, callback)


def _times(spacing: str, timesteps: int, steps: int, offset: int) -> list[float]:
    if spacing != "linspace":
        return list(times_of(spacing, timesteps, steps, offset if spacing == "leading" else 0))
    check_steps(timesteps, steps)
    return [float(t) for t in np.linspace(0, timesteps - 1, steps)[::-1]]


def level_between(schedule: Schedule, t: float) -> Level:
    """The level of a fractional timestep: s = sigma / alpha interpolated between its two
    neighbours.
    """
    if not 0 <= t <= schedule.timesteps - 1:
        raise ConfigError(
            f"Timestep {t} is out of range; this schedule has timesteps 0 to {schedule.timesteps - 1}."
        )
    low, high = (
        floored(schedule.level(int(t))),
        floored(schedule.level(min(int(t) + 1, schedule.timesteps - 1))),
    )
    part = t - int(t)
    s = (1 - part) * low.sigma / low.alpha + part * high.sigma / high.alpha
    alpha = 1.0 / (1.0 + s * s) ** 0.5
    return Level(alpha, s * alpha, (1 - part) * low.signal_scale + part * high.signal_scale)
