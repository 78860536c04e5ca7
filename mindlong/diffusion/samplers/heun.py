"""Heun's method and a linear multistep method in the variance-exploding form (EDM, arXiv
2206.00364; k-diffusion's LMS).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mindlong.diffusion.samplers.grid import grid, s_of
from mindlong.diffusion.samplers.levels import AT_TIMESTEPS, Spread
from mindlong.diffusion.samplers.loop import Move, Rule
from mindlong.diffusion.schedules import CLEAN, Level, Schedule
from mindlong.utils.errors import ConfigError
from mindlong.utils.needed import needed

LMS_ORDER = 4


def heun(
    schedule: Schedule,
    steps: int = 25,
    *,
    spacing: str = "linspace",
    offset: int = 0,
    times: Sequence[float] | None = None,
    spread: Spread = AT_TIMESTEPS,
) -> Rule:
    """Heun steps as a rule: an Euler step, the model asked again where it leads, and the step with
    the mean of both slopes; 2 steps - 1 calls, since the last step, to the clean sample, is
    Euler's.

    Args:
        schedule: the noise levels.
        steps: how many.
        spacing, offset, times, spread: as for `mindlong.diffusion.samplers.grid.grid`.

    Raises:
        ConfigError: an argument out of its range.
    """
    made = grid(schedule, steps, spacing, offset, times, spread)
    twice = [0] + [i for i in range(1, len(made.times)) for _ in range(2)]
    levels = [made.levels[i] for i in twice]
    return Rule([made.times[i] for i in twice], levels, _Heun(made.levels).update, made.start)


@dataclass(frozen=True)
class _Heun:
    """Even calls begin a step, odd ones end it. Memory: x0 and eps of the step's beginning."""

    levels: Sequence[Level]

    def update(
        self, step: int, x: np.ndarray, x0: np.ndarray, eps: np.ndarray, memory: np.ndarray | None
    ) -> Move:
        place, ends = divmod(step, 2)
        after = self.levels[place + 1] if place + 1 < len(self.levels) else CLEAN
        now, then, scale = s_of(self.levels[place]), s_of(after), after.signal
        if not ends:
            kept = np.concatenate([x0, eps], axis=1)
            return Move(scale * x0 + scale * then * eps, 0.0, kept)
        first_x0, first = np.split(needed(memory, "the half step before"), 2, axis=1)
        # y + (then - now) (first + eps) / 2, with y = first_x0 + now first
        slopes = then * first + (then - now) / 2 * (eps - first)
        return Move(scale * first_x0 + scale * slopes)


def lms(
    schedule: Schedule,
    steps: int = 25,
    *,
    spacing: str = "linspace",
    offset: int = 0,
    times: Sequence[float] | None = None,
    spread: Spread = AT_TIMESTEPS,
    order: int = LMS_ORDER,
) -> Rule:
    """The linear multistep method as a rule: the curve through the last slopes, integrated.

    Args:
        schedule, steps, spacing, offset, times, spread: as for `heun`.
        order: slopes used.

    Raises:
        ConfigError: an argument out of its range.
    """
    if not 1 <= order <= LMS_ORDER:
        raise ConfigError(f"The order of lms is {order}; it must be 1 to {LMS_ORDER}.")
    made = grid(schedule, steps, spacing, offset, times, spread)
    s = [*map(s_of, made.levels), 0.0]

    def update(
        step: int, x: np.ndarray, x0: np.ndarray, eps: np.ndarray, memory: np.ndarray | None
    ) -> Move:
        past = [] if memory is None else np.split(memory, memory.shape[1] // x.shape[1], axis=1)
        slopes = [eps, *past][:order]
        weights = _integrals(s[step - len(slopes) + 1 : step + 2])
        weights[0] += s[step]  # y = x0 + s eps
        scale = 1.0 if step + 1 == len(made.levels) else made.levels[step + 1].signal
        mean = x0 + sum(weight * slope for weight, slope in zip(weights, slopes, strict=True))
        kept = np.concatenate(slopes[: order - 1], axis=1) if order > 1 else None
        return Move((scale * mean).astype(x.dtype), 0.0, kept)

    return Rule(made.times, made.levels, update, made.start)


def _integrals(s: Sequence[float]) -> list[float]:
    """What each slope weighs, the newest first: the integrals from s[-2] to s[-1] of the
    polynomials that are 1 at its level of `s` and 0 at the others.
    """
    known, (start, end) = list(s[:-1]), s[-2:]
    found = []
    for own in reversed(range(len(known))):
        others = [level for i, level in enumerate(known) if i != own]
        curve = np.poly1d(np.poly(others) if others else [1.0]) / np.prod(
            [known[own] - level for level in others]
        )
        whole = curve.integ()
        found.append(float(whole(end) - whole(start)))
    return found
