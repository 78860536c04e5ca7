"""Ancestral sampling (DDPM, arXiv 2006.11239): each step draws from the posterior q(x_prev | x_t,
x0).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mindlong.diffusion.guidance import Model
from mindlong.diffusion.samplers.loop import Callback, Denoiser, Noise, add, walk
from mindlong.diffusion.samplers.spacing import check_times, times_of
from mindlong.diffusion.schedules import CLEAN, Level, Schedule
from mindlong.diffusion.thresholding import Clip
from mindlong.utils.errors import ConfigError, did_you_mean

VARIANCES = ("small", "large")


def sample_ddpm(
    model: Model,
    x_T: np.ndarray,
    schedule: Schedule,
    steps: int | None = None,
    *,
    noise: Noise | None = None,
    callback: Callback | None = None,
    prediction: str = "eps",
    clip: Clip | None = None,
    times: Sequence[int] | None = None,
    spacing: str = "leading",
    variance: str = "small",
) -> np.ndarray:
    """A sample by ancestral sampling; arguments and errors as in `mindlong.diffusion.samplers`.

    Without `steps` all T timesteps are visited, as Video Diffusion Models do. `variance` is the
    posterior's ("small") or beta
    ("large"). The last step adds no noise; with a clip the result is within its bounds.
    """
    if variance not in VARIANCES:
        raise ConfigError(
            f"variance is {variance!r}; it must be small or large.{did_you_mean(variance, VARIANCES)}"
        )
    total = schedule.timesteps
    times = times_of(spacing, total, steps or total) if times is None else check_times(times, total)
    levels = [schedule.level(t) for t in times] + [CLEAN]

    def update(step: int, x: np.ndarray, x0: np.ndarray, eps: np.ndarray) -> np.ndarray:
        of_x0, of_x, spread = posterior(levels[step], levels[step + 1], variance)
        return add(of_x0 * x0 + of_x * x, spread, noise, step)

    return walk(Denoiser(model, prediction, clip), x_T, times, levels, update, callback)


def posterior(level: Level, previous: Level, variance: str = "small") -> tuple[float, float, float]:
    """The posterior of the step from `level` to `previous`: factor of x0, factor of x, standard
    deviation.
    """
    kept = (level.alpha / previous.alpha) ** 2  # 1 - beta of the (possibly longer) step
    of_x = kept**0.5 * previous.sigma**2 / level.sigma**2
    small = (1.0 - kept) * previous.sigma**2 / level.sigma**2
    large = 1.0 - kept if previous.sigma else 0.0
    return (
        previous.signal - of_x * level.signal,
        of_x,
        (small if variance == "small" else large) ** 0.5,
    )
