"""DPM-Solver++(2M), arXiv 2211.01095 algorithm 2, and its SDE form: second order from the last two
predicted clean samples.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from mindlong.diffusion.guidance import Model
from mindlong.diffusion.samplers.loop import Callback, Denoiser, Noise, add, walk
from mindlong.diffusion.samplers.spacing import check_times, with_end_dropped
from mindlong.diffusion.schedules import CLEAN, Level, Schedule
from mindlong.diffusion.thresholding import Clip


def sample_dpm_solver(
    model: Model,
    x_T: np.ndarray,
    schedule: Schedule,
    steps: int = 25,
    *,
    noise: Noise | None = None,
    callback: Callback | None = None,
    prediction: str = "eps",
    clip: Clip | None = None,
    times: Sequence[int] | None = None,
    spacing: str = "linspace",
    offset: int = 0,
    order: int = 2,
) -> np.ndarray:
    """A sample by DPM-Solver++(2M), midpoint form; arguments and errors as in
    `mindlong.diffusion.samplers`.

    The first step and the last (to the clean sample) are of first order, as published. `noise` is
    not used.
    """
    solver = _Solver(schedule, _times(times, spacing, schedule, steps, offset), None, False, order)
    return walk(
        Denoiser(model, prediction, clip), x_T, solver.times, solver.levels, solver, callback
    )


def sample_dpm_solver_sde(
    model: Model,
    x_T: np.ndarray,
    schedule: Schedule,
    steps: int = 25,
    *,
    noise: Noise | None = None,
    callback: Callback | None = None,
    prediction: str = "eps",
    clip: Clip | None = None,
    times: Sequence[int] | None = None,
    spacing: str = "linspace",
    offset: int = 0,
    order: int = 2,
) -> np.ndarray:
    """The stochastic form, SDE-DPM-Solver++(2M): as `sample_dpm_solver`, with fresh noise at every
    step but the last.
    """
    solver = _Solver(schedule, _times(times, spacing, schedule, steps, offset), noise, True, order)
    return walk(
        Denoiser(model, prediction, clip), x_T, solver.times, solver.levels, solver, callback
    )


def _times(
    times: Sequence[int] | None, spacing: str, schedule: Schedule, steps: int, offset: int
) -> list[int]:
    if times is not None:
        return check_times(times, schedule.timesteps)
    return with_end_dropped(spacing, schedule.timesteps, steps, offset)


class _Solver:
    """The update rule with its memory of the last predicted clean sample."""

    def __init__(
        self,
        schedule: Schedule,
        times: list[int],
        noise: Noise | None,
        stochastic: bool,
        order: int,
    ):
        self.times, self.noise, self.stochastic, self.order = times, noise, stochastic, order
        self.levels = [floored(schedule.level(t)) for t in times] + [CLEAN]
        self.previous_x0: np.ndarray | None = None

    def __call__(self, step: int, x: np.ndarray, x0: np.ndarray, eps: np.ndarray) -> np.ndarray:
        now, after = self.levels[step], self.levels[step + 1]
        mixed, self.previous_x0 = self._extrapolate(step, x0), x0
        if after.sigma == 0:
            return after.signal * x0
        h = log_snr(after) - log_snr(now)
        gain = -math.expm1(-2 * h if self.stochastic else -h)
        of_x = after.sigma / now.sigma * (math.exp(-h) if self.stochastic else 1.0)
        return add(
            of_x * x + after.signal * gain * mixed,
            after.sigma * gain**0.5 if self.stochastic else 0.0,
            self.noise,
            step,
        )

    def _extrapolate(self, step: int, x0: np.ndarray) -> np.ndarray:
        """x0 carried half a step on along the line through the last two (first order: x0
        itself).
        """
        if self.order == 1 or self.previous_x0 is None or step == len(self.times) - 1:
            return x0
        before, now, after = (log_snr(level) for level in self.levels[step - 1 : step + 2])
        return x0 + 0.5 * (after - now) / (now - before) * (x0 - self.previous_x0)


def log_snr(level: Level) -> float:
    """Half the logarithm of the signal-to-noise ratio, the solver's clock."""
    return math.log(level.signal / level.sigma)


def floored(level: Level) -> Level:
    """`level` with alpha^2 at least 2^-24: solvers in log-SNR cannot start from no signal at
    all.
    """
    squared = max(level.alpha**2, 2.0**-24)
    return Level(squared**0.5, (1.0 - squared) ** 0.5, level.signal_scale)
