"""DPM-Solver++ (arXiv 2211.01095), multistep, of order 1 to 3, and its SDE form: the next sample
from the last predicted clean ones.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from mindlong.diffusion.samplers.levels import (
    AT_TIMESTEPS,
    Spread,
    final_from,
    last_level,
    spread_from,
)
from mindlong.diffusion.samplers.loop import Move, Rule
from mindlong.diffusion.samplers.visits import FEW, at_levels, at_timesteps, log_snr
from mindlong.utils.errors import ConfigError, did_you_mean

if TYPE_CHECKING:
    from mindlong.diffusion.samplers.file_keys import Keys
    from mindlong.diffusion.schedules import Level, Schedule

FORMS = ("midpoint", "heun")


def dpm_solver(
    schedule: Schedule,
    steps: int = 25,
    *,
    spacing: str = "linspace",
    offset: int = 0,
    times: Sequence[int] | None = None,
    order: int = 2,
    form: str = "midpoint",
    spread: Spread = AT_TIMESTEPS,
    rounding: str = "nearest",
    final: str = "zero",
    lower_at_end: bool = True,
    euler_at_end: bool = False,
    clipped: float = -math.inf,
    stochastic: bool = False,
) -> Rule:
    """DPM-Solver++ as a rule. The first step and the last (to the clean sample) are of first order,
    as published.

    Args:
        schedule: the noise levels.
        steps: how many.
        spacing, offset: which timesteps are visited.
        times: timesteps to visit, descending, in place of the list.
        order: 1 to 3.
        form: "midpoint" or "heun", of second order.
        spread: noise levels that do not follow from the timesteps.
        rounding: of timesteps looked up for them: "nearest" or "down".
        final: the last step leads to the clean sample ("zero") or to timestep 0 ("sigma_min").
        lower_at_end: with fewer than 15 steps, the last is of first and the one before of second
            order.
        euler_at_end: the last step is of first order in any case.
        clipped: timesteps with a smaller half log-SNR are not visited.
        stochastic: fresh noise at every step but the last.

    Raises:
        ConfigError: an argument out of its range.
    """
    _check(order, form)
    if spread.name:
        visited, levels = at_levels(schedule, spread, steps, rounding)
    else:
        visited, levels = at_timesteps(schedule, times, spacing, steps, offset, clipped)
    few = lower_at_end and len(visited) < FEW
    orders = _orders(len(visited), order, few, few or euler_at_end or final == "zero")
    solver = _Solver([*levels, last_level(schedule, final)], orders, form, stochastic)
    return Rule(visited, levels, solver.update)


def _orders(count: int, order: int, few: bool, first_at_end: bool) -> list[int]:
    """The order of each step; with few steps the last ones are of lower order."""
    orders = [order] * count
    if few and count > 1:
        orders[-2] = min(order, 2)
    if first_at_end:
        orders[-1] = 1
    return orders


dpm_solver_sde = partial(dpm_solver, stochastic=True)


def from_file(keys: Keys) -> dict[str, Any]:
    """What a scheduler_config.json says of this sampler, in the place of `dpm_solver`'s
    arguments.
    """
    spread = spread_from(keys)
    if keys.flag("use_lu_lambdas", False) and not spread.name:
        spread = Spread("exponential")
    even = spread.name and not (keys.flag("use_exponential_sigmas", False) or spread.name == "beta")
    curved = keys.get("beta_schedule", "") == "squaredcos_cap_v2"
    if algorithm_of(keys) in OLDER:
        keys.refuse(
            f"algorithm_type is {algorithm_of(keys)!r}, of which there is the form with ++; name another sampler "
            "with sample.sampler"
        )
    keys.refuse_learned_variance()
    return {
        "spacing": keys.spacing("linspace"),
        "offset": keys.offset(),
        "order": keys.order(3),
        "form": SOLVERS[keys.word("solver_type", "midpoint", SOLVERS)],
        "spread": spread,
        "rounding": "nearest" if even and not curved else "down",
        "lower_at_end": keys.flag("lower_order_final", True),
        "euler_at_end": keys.flag("euler_at_final", False),
        "clipped": keys.number("lambda_min_clipped", -math.inf, finite=False),
        **final_from(keys),
    }


def algorithm_of(keys: Keys) -> str:
    """algorithm_type, of ALGORITHMS or OLDER."""
    return keys.word("algorithm_type", "dpmsolver++", (*ALGORITHMS, *OLDER))


OLDER = ("dpmsolver", "sde-dpmsolver")
ALGORITHMS = {
    "dpmsolver++": "dpm_solver",
    "deis": "dpm_solver",
    "sde-dpmsolver++": "dpm_solver_sde",
}
SOLVERS = {
    "midpoint": "midpoint",
    "heun": "heun",
    **dict.fromkeys(("logrho", "bh1", "bh2"), "midpoint"),
}  # of other solvers' files, read as the original reads them


@dataclass(frozen=True)
class _Solver:
    """The update; `levels` has one more than there are steps. Memory: the last predicted clean
    samples, the newest first.
    """

    levels: Sequence[Level]
    orders: Sequence[int]
    form: str
    stochastic: bool

    def update(
        self,
        step: int,
        x: np.ndarray,
        x0: np.ndarray,
        eps: np.ndarray,
        memory: np.ndarray | None,
    ) -> Move:
        now, after = self.levels[step], self.levels[step + 1]
        past = [] if memory is None else np.split(memory, memory.shape[1] // x.shape[1], axis=1)
        kept = self._kept(x0, past)
        if after.sigma == 0:
            return Move(after.signal * x0, 0.0, kept)
        h = log_snr(after) - log_snr(now)
        gain = -math.expm1(-2 * h if self.stochastic else -h)
        of_x = after.sigma / now.sigma * (math.exp(-h) if self.stochastic else 1.0)
        mean = of_x * x + after.signal * gain * self._mixed(step, x0, past, h, gain)
        return Move(mean, after.sigma * gain**0.5 if self.stochastic else 0.0, kept)

    def _kept(self, x0: np.ndarray, past: Sequence[np.ndarray]) -> np.ndarray | None:
        """What the steps to come may look back at."""
        count = max(self.orders) - 1
        return np.concatenate([x0, *past[: count - 1]], axis=1) if count else None

    def _mixed(
        self, step: int, x0: np.ndarray, past: Sequence[np.ndarray], h: float, gain: float
    ) -> np.ndarray:
        """x0 carried on along the curve through the last ones, as far as the order asks; divided by
        `gain`.
        """
        order = min(self.orders[step], len(past) + 1)
        if order == 1:
            return x0
        clock = [log_snr(level) for level in self.levels[max(step - 2, 0) : step + 1]]
        r0 = (clock[-1] - clock[-2]) / h
        first, second = _weights(h, self.stochastic)
        if order == 2:
            weight = 0.5 if self.form == "midpoint" else first / gain
            return x0 + weight / r0 * (x0 - past[0])
        slope = (x0 - past[0]) / r0
        r1 = (clock[-2] - clock[-3]) / h
        older = (past[0] - past[1]) / r1
        bend = (slope - older) / (r0 + r1)
        return x0 + (first * (slope + r0 * bend) + second * bend) / gain


def _weights(h: float, stochastic: bool) -> tuple[float, float]:
    """What the slope and the bend weigh in a step of length `h` in the clock."""
    length = 2 * h if stochastic else h
    slope = math.expm1(-length) / length + 1.0
    if not stochastic:
        return slope, -(math.expm1(-h) + h) / h**2 + 0.5
    return slope, (-math.expm1(-length) - length) / length**2 - 0.5


def _check(order: int, form: str) -> None:
    if order not in (1, 2, 3):
        raise ConfigError(f"The order of DPM-Solver++ is {order}; it must be 1, 2 or 3.")
    if form not in FORMS:
        raise ConfigError(
            f"form is {form!r}; it must be midpoint or heun.{did_you_mean(form, FORMS)}"
        )
