"""Euler's method in the variance-exploding form (EDM, arXiv 2206.00364): y = x / alpha = x0 + s
eps, with s = sigma / alpha.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from mindlong.diffusion.samplers.grid import grid, s_of
from mindlong.diffusion.samplers.levels import (
    AT_TIMESTEPS,
    Spread,
    final_from,
    last_level,
    level_at,
    spread_from,
    table,
)
from mindlong.diffusion.samplers.loop import Move, Rule
from mindlong.utils.errors import ConfigError, did_you_mean

if TYPE_CHECKING:
    from mindlong.diffusion.samplers.file_keys import Keys
    from mindlong.diffusion.schedules import Level, Schedule

BETWEEN = ("linear", "log_linear")


def euler(
    schedule: Schedule,
    steps: int = 30,
    *,
    spacing: str = "leading",
    offset: int = 1,
    times: Sequence[float] | None = None,
    spread: Spread = AT_TIMESTEPS,
    between: str = "linear",
    final: str = "zero",
    ancestral: bool = False,
) -> Rule:
    """Euler steps as a rule.

    With spacing "linspace", or a spread of its own, the timesteps are not rounded: the model is
    then asked at fractions (float32).

    Args:
        schedule: the noise levels.
        steps: how many.
        spacing, offset: which timesteps are visited; the offset is leading's.
        times: timesteps to visit, descending, in place of the list.
        spread: noise levels that do not follow from the timesteps.
        between: "linear": levels are those of the timesteps; "log_linear": even in the logarithm
            over the whole schedule, whatever the timesteps.
        final: the last step leads to the clean sample ("zero") or to timestep 0 ("sigma_min").
        ancestral: each step goes down further and returns with fresh noise.

    Raises:
        ConfigError: an argument out of its range.
    """
    made = grid(schedule, steps, spacing, offset, times, spread)
    visited, levels, start = made.times, made.levels, made.start
    after = [*levels[1:], last_level(schedule, final)]
    if between == "log_linear" and not spread.name:
        levels, after = _log_linear(schedule, visited)
        start = 1.0 if spacing == "leading" else levels[0].sigma
    elif between not in BETWEEN:
        raise ConfigError(
            f"between is {between!r}; it must be linear or log_linear.{did_you_mean(between, BETWEEN)}"
        )
    return Rule(visited, levels, _Euler(levels, after, ancestral).update, start)


euler_ancestral = partial(euler, ancestral=True)


def from_file(keys: Keys) -> dict[str, Any]:
    """What a scheduler_config.json says of `euler`, in the place of its arguments."""
    spread = replace(
        spread_from(keys),
        high=keys.optional("sigma_max", minimum=0),
        low=keys.optional("sigma_min", minimum=0),
    )
    if keys.word("timestep_type", "discrete", ("discrete", "continuous")) == "continuous":
        keys.refuse("timestep_type is 'continuous': its network takes logarithms, not timesteps")
    between = keys.word("interpolation_type", "linear", BETWEEN)
    return {**ancestral_from_file(keys), "spread": spread, "between": between, **final_from(keys)}


def ancestral_from_file(keys: Keys) -> dict[str, Any]:
    """The same of `euler_ancestral`, which has fewer keys."""
    return {"spacing": keys.spacing("linspace"), "offset": keys.offset()}


@dataclass(frozen=True)
class _Euler:
    """The update: from `levels` to the levels `after`."""

    levels: Sequence[Level]
    after: Sequence[Level]
    ancestral: bool

    def update(
        self,
        step: int,
        x: np.ndarray,
        x0: np.ndarray,
        eps: np.ndarray,
        memory: np.ndarray | None,
    ) -> Move:
        now, after, up = s_of(self.levels[step]), s_of(self.after[step]), 0.0
        if self.ancestral:
            up = min(after, (after**2 * max(now**2 - after**2, 0.0)) ** 0.5 / now)
        down = max(after**2 - up**2, 0.0) ** 0.5
        last = step + 1 == len(self.levels)
        scale = 1.0 if last else self.levels[step + 1].signal
        # y + (down - now) * (y - x0) / now, without the huge y of a start without signal
        return Move(scale * x0 + scale * down * eps, up * scale)


def _log_linear(schedule: Schedule, visited: Sequence[float]) -> tuple[list[Level], list[Level]]:
    known = table(schedule)
    ends = np.log(known[-1]), np.log(known[0])
    s = np.exp(np.linspace(*ends, len(visited) + 1))
    made = [level_at(schedule, float(one), t) for one, t in zip(s, [*visited, 0.0], strict=True)]
    return made[:-1], made[1:]
