"""Which timesteps and levels a multistep solver in the clock of log-SNR visits."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from mindlong.diffusion.samplers.levels import Spread, floored, level_at, table, times_at
from mindlong.diffusion.samplers.spacing import check_times, with_end_dropped
from mindlong.utils.errors import ConfigError

if TYPE_CHECKING:
    from mindlong.diffusion.schedules import Level, Schedule

ROUNDINGS = ("nearest", "down")

FEW = 15  # below so many steps the last ones are of lower order


def log_snr(level: Level) -> float:
    """Half the logarithm of the signal-to-noise ratio, the solver's clock."""
    return math.log(level.signal / level.sigma)


def at_timesteps(
    schedule: Schedule,
    times: Sequence[int] | None,
    spacing: str,
    steps: int,
    offset: int,
    clipped: float = -math.inf,
) -> tuple[list[int], list[Level]]:
    """The timesteps of a spacing (or `times`) without those of a smaller half log-SNR than
    `clipped`, and their levels.
    """
    if times is not None:
        visited = check_times(times, schedule.timesteps)
    else:
        clock = -np.log(table(schedule))
        below = schedule.timesteps - int((clock < clipped).sum())
        visited = with_end_dropped(spacing, schedule.timesteps, steps, offset, below)
    return visited, [floored(schedule.level(t)) for t in visited]


def at_levels(
    schedule: Schedule, spread: Spread, steps: int, rounding: str
) -> tuple[list[int], list[Level]]:
    """The levels of a spread between the schedule's ends, and the timesteps looked up for them,
    rounded to the "nearest" or "down".
    """
    if rounding not in ROUNDINGS:
        raise ConfigError(f"rounding is {rounding!r}; it must be nearest or down.")
    known = table(schedule)
    s = spread(float(known[-1]), float(known[0]), steps)
    found = times_at(s, known)
    visited = [int(t) for t in (np.round(found) if rounding == "nearest" else np.floor(found))]
    levels = [level_at(schedule, float(one), float(t)) for one, t in zip(s, visited, strict=True)]
    return visited, levels
