"""The midpoint method in the variance-exploding form (k-diffusion's DPM2), and its ancestral
form.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from mindlong.diffusion.samplers import grid as grids
from mindlong.diffusion.samplers.grid import grid, s_of
from mindlong.diffusion.samplers.levels import AT_TIMESTEPS, Spread, level_at, table, times_at
from mindlong.diffusion.samplers.loop import Move, Rule
from mindlong.utils.needed import needed

if TYPE_CHECKING:
    from mindlong.diffusion.samplers.file_keys import Keys
    from mindlong.diffusion.schedules import Level, Schedule


def kdpm2(
    schedule: Schedule,
    steps: int = 25,
    *,
    spacing: str = "linspace",
    offset: int = 0,
    times: Sequence[float] | None = None,
    spread: Spread = AT_TIMESTEPS,
    rounded: bool = False,
    ancestral: bool = False,
) -> Rule:
    """Midpoint steps as a rule: half a step in the logarithm, the model asked again there, and the
    whole step with the slope found; 2 steps - 1 calls, since the last step, to the clean sample,
    is Euler's.

    Args:
        schedule: the noise levels.
        steps: how many.
        spacing, offset, times, spread: as for `mindlong.diffusion.samplers.grid.grid`.
        rounded: the timesteps of a spread are whole numbers.
        ancestral: each step goes down further and returns with fresh noise.

    Raises:
        ConfigError: an argument out of its range.
    """
    made = grid(schedule, steps, spacing, offset, times, spread)
    s = [*map(s_of, made.levels), 0.0]
    down = [_down(a, b) if ancestral else b for a, b in zip(s, s[1:], strict=False)]
    between = [(a * b) ** 0.5 for a, b in zip(s, down[:-1], strict=False)]
    asked = [float(t) for t in times_at(np.asarray(between), table(schedule))]
    visited = [float(round(t)) for t in made.times] if rounded else made.times
    halves = [level_at(schedule, a, t) for a, t in zip(between, asked, strict=True)]
    return Rule(
        _mixed(visited, asked),
        _mixed(made.levels, halves),
        _Midpoint(made.levels, down, between, ancestral).update,
        made.start,
    )


kdpm2_ancestral = partial(kdpm2, ancestral=True)


def from_file(keys: Keys) -> dict[str, Any]:
    """What a scheduler_config.json says of this sampler, in the place of `kdpm2`'s arguments."""
    found = grids.from_file(keys)
    return {**found, "rounded": found["spread"].name == "karras"}


@dataclass(frozen=True)
class _Midpoint:
    """Even calls go half a step, odd ones the whole. Memory: x0 and eps of the step's beginning."""

    levels: Sequence[Level]
    down: Sequence[float]
    between: Sequence[float]
    ancestral: bool

    def update(
        self, step: int, x: np.ndarray, x0: np.ndarray, eps: np.ndarray, memory: np.ndarray | None
    ) -> Move:
        place, whole = divmod(step, 2)
        if place + 1 == len(self.levels):
            return Move(x0)
        if not whole:
            half = self.between[place]
            scale = 1.0 / (1.0 + half * half) ** 0.5
            return Move(scale * x0 + scale * half * eps, 0.0, np.concatenate([x0, eps], axis=1))
        first_x0, first = np.split(needed(memory, "the half step before"), 2, axis=1)
        now, then = s_of(self.levels[place]), self.down[place]
        after = self.levels[place + 1]
        # y + (then - now) eps, with y = first_x0 + now first
        mean = first_x0 + then * first + (then - now) * (eps - first)
        up = _up(now, s_of(after)) if self.ancestral else 0.0
        return Move(after.signal * mean, after.signal * up)


def _up(now: float, after: float) -> float:
    return (after**2 * max(now**2 - after**2, 0.0)) ** 0.5 / now


def _down(now: float, after: float) -> float:
    return max(after**2 - _up(now, after) ** 2, 0.0) ** 0.5


def _mixed(whole: Sequence[Any], halves: Sequence[Any]) -> list[Any]:
    """Those of the steps with those between them in between."""
    found = [whole[0]]
    for half, after in zip(halves, whole[1:], strict=True):
        found += [half, after]
    return found
