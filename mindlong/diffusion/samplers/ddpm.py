"""Ancestral sampling (DDPM, arXiv 2006.11239): each step draws from the posterior q(x_prev | x_t,
x0).
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from mindlong.diffusion.samplers.loop import Move, Rule
from mindlong.diffusion.samplers.spacing import check_times, times_of
from mindlong.diffusion.schedules import CLEAN, Level, Schedule
from mindlong.utils.errors import ConfigError, did_you_mean
from mindlong.utils.log import once

if TYPE_CHECKING:
    from mindlong.diffusion.samplers.file_keys import Keys

VARIANCES = ("small", "large")
NAMED = {"fixed_small": "small", "fixed_small_log": "small", "fixed_large": "large"}


def ddpm(
    schedule: Schedule,
    steps: int | None = None,
    *,
    spacing: str = "leading",
    offset: int = 0,
    variance: str = "small",
    times: Sequence[int] | None = None,
) -> Rule:
    """Ancestral sampling as a rule.

    Args:
        steps: None visits all T timesteps, as Video Diffusion Models do.
        spacing, offset: which timesteps fewer steps visit.
        variance: the posterior's ("small") or beta ("large"). The last step adds no noise; with a
            clip the result is within its bounds.
        times: timesteps to visit, descending, in place of the list.

    Raises:
        ConfigError: an argument out of its range.
    """
    if variance not in VARIANCES:
        raise ConfigError(
            f"variance is {variance!r}; it must be small or large.{did_you_mean(variance, VARIANCES)}"
        )
    total = schedule.timesteps
    if times is None:
        times = times_of(spacing, total, steps or total, offset if spacing == "leading" else 0)
    visited = check_times(times, total)
    levels = [schedule.level(t) for t in visited]
    after = [*levels[1:], CLEAN]

    def update(
        step: int, x: np.ndarray, x0: np.ndarray, eps: np.ndarray, memory: np.ndarray | None
    ) -> Move:
        of_x0, of_x, spread = posterior(levels[step], after[step], variance)
        return Move(of_x0 * x0 + of_x * x, spread)

    return Rule(visited, levels, update)


def from_file(keys: Keys) -> dict[str, Any]:
    """What a scheduler_config.json says of this sampler, in the place of `ddpm`'s arguments."""
    keys.refuse_learned_variance()
    spacing = keys.spacing("leading")
    variance, offset = NAMED[keys.word("variance_type", "fixed_small", NAMED)], keys.offset()
    if variance == "large" and offset:
        once(
            f"{keys.where}: variance_type is fixed_large and steps_offset {offset}: the last step adds no "
            "noise here, where diffusers leaves that of its timestep in the sample",
            logging.WARNING,
        )
    return {"spacing": spacing, "offset": offset, "variance": variance}


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
