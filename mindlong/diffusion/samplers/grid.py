"""The timesteps and levels of solvers in the variance-exploding form (EDM, arXiv 2206.00364):
y = x / alpha = x0 + s eps, with s = sigma / alpha.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mindlong.diffusion.samplers.levels import (
    AT_TIMESTEPS,
    Spread,
    level_at,
    level_between,
    spread_from,
    table,
    times_at,
)
from mindlong.diffusion.samplers.spacing import check_steps, times_of

if TYPE_CHECKING:
    from mindlong.diffusion.samplers.file_keys import Keys
    from mindlong.diffusion.schedules import Level, Schedule


@dataclass(frozen=True)
class Grid:
    """Timesteps (descending, perhaps fractions), their levels, and the factor on pure noise.

    One denoising loop serves every sampler, in x. The published start is y = s x_T, or
    sqrt(s^2 + 1) x_T (= x_T in x) for the spacing "leading".
    """

    times: list[float]
    levels: list[Level]
    start: float


def grid(
    schedule: Schedule,
    steps: int,
    spacing: str,
    offset: int = 0,
    times: Sequence[float] | None = None,
    spread: Spread = AT_TIMESTEPS,
) -> Grid:
    """The grid of a spacing or of `times`, or of a spread between its ends. With "linspace", or a
    spread, the timesteps are fractions.

    Raises:
        ConfigError: more steps than timesteps, or ends that are none.
    """
    visited = _times(spacing, schedule.timesteps, steps, offset) if times is None else list(times)
    levels = [level_between(schedule, t) for t in visited]
    if spread.name:
        visited, levels = _spread(schedule, spread, levels)
    return Grid(visited, levels, 1.0 if spacing == "leading" else levels[0].sigma)


def s_of(level: Level) -> float:
    """sigma / alpha of a level."""
    return level.sigma / level.signal


def from_file(keys: Keys) -> dict[str, Any]:
    """What a scheduler_config.json says of the grid."""
    return {
        "spacing": keys.spacing("linspace"),
        "offset": keys.offset(),
        "spread": spread_from(keys),
    }


def _times(spacing: str, timesteps: int, steps: int, offset: int) -> list[float]:
    if spacing != "linspace":
        return list(times_of(spacing, timesteps, steps, offset if spacing == "leading" else 0))
    check_steps(timesteps, steps)
    return [float(t) for t in np.linspace(0, timesteps - 1, steps)[::-1]]


def _spread(
    schedule: Schedule, spread: Spread, levels: Sequence[Level]
) -> tuple[list[float], list[Level]]:
    s = spread(s_of(levels[0]), s_of(levels[-1]), len(levels))
    visited = [float(t) for t in times_at(s, table(schedule))]
    return visited, [level_at(schedule, float(one), t) for one, t in zip(s, visited, strict=True)]
