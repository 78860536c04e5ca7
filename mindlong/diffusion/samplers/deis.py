"""DEIS (arXiv 2204.13902), multistep in the logarithm of rho = sigma / alpha: the curve through the
last predictions of the noise, integrated exactly.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from mindlong.diffusion.samplers.grid import s_of
from mindlong.diffusion.samplers.levels import AT_TIMESTEPS, Spread, spread_from
from mindlong.diffusion.samplers.loop import Move, Rule
from mindlong.diffusion.samplers.visits import FEW, at_levels, at_timesteps
from mindlong.utils.errors import ConfigError

if TYPE_CHECKING:
    from mindlong.diffusion.samplers.file_keys import Keys
    from mindlong.diffusion.schedules import Level, Schedule

ORDERS = 3
READ_AS = ("logrho", "midpoint", "heun", "bh1", "bh2")  # of other solvers' files: all the same
ALGORITHMS = ("deis", "dpmsolver", "dpmsolver++")


def deis(
    schedule: Schedule,
    steps: int = 20,
    *,
    spacing: str = "linspace",
    offset: int = 0,
    times: Sequence[int] | None = None,
    order: int = 2,
    spread: Spread = AT_TIMESTEPS,
    rounding: str = "nearest",
    lower_at_end: bool = True,
) -> Rule:
    """DEIS as a rule. The last step leads to timestep 0.

    Args:
        schedule: the noise levels.
        steps: how many.
        spacing, offset: which timesteps are visited.
        times: timesteps to visit, descending, in place of the list.
        order: 1 to 3; the first steps are of lower order.
        spread: noise levels that do not follow from the timesteps.
        rounding: of timesteps looked up for them: "nearest" or "down".
        lower_at_end: with fewer than 15 steps, the last is of first and the one before of second
            order.

    Raises:
        ConfigError: an argument out of its range.
    """
    if not 1 <= order <= ORDERS:
        raise ConfigError(f"The order of deis is {order}; it must be 1 to {ORDERS}.")
    if spread.name:
        visited, levels = at_levels(schedule, spread, steps, rounding)
    else:
        visited, levels = at_timesteps(schedule, times, spacing, steps, offset)
    orders = _orders(len(visited), order, lower_at_end)
    return Rule(visited, levels, _Deis([*levels, schedule.level(0)], orders, order).update)


def _orders(count: int, order: int, lower_at_end: bool) -> list[int]:
    """Of each step: as many predictions as there are, and fewer at the end of few steps."""
    orders = [min(order, i + 1) for i in range(count)]
    if lower_at_end and count < FEW:
        orders = [min(of_step, max(count - i, 1)) for i, of_step in enumerate(orders)]
    return orders


class _Deis:
    """The steps.

    Args:
        levels: those visited and the last one.
        orders: of each step.
        order: of the method; so many predictions are kept, but one.
    """

    def __init__(self, levels: Sequence[Level], orders: Sequence[int], order: int) -> None:
        self.levels, self.orders, self.order = levels, orders, order
        self.rho = [s_of(level) for level in levels]

    def update(
        self, step: int, x: np.ndarray, x0: np.ndarray, eps: np.ndarray, memory: np.ndarray | None
    ) -> Move:
        """Where a step leads."""
        past = [] if memory is None else np.split(memory, memory.shape[1] // x.shape[1], axis=1)
        slopes = [eps, *past][: self.orders[step]]
        weights = _integrals(self.rho[step - len(slopes) + 1 : step + 2])
        weights[0] += self.rho[step]  # x = signal (x0 + rho eps)
        moved = sum(weight * slope for weight, slope in zip(weights, slopes, strict=True))
        mean = self.levels[step + 1].signal * (x0 + moved)
        kept = np.concatenate([eps, *past][: self.order - 1], axis=1) if self.order > 1 else None
        return Move(mean.astype(x.dtype), 0.0, kept)


def from_file(keys: Keys) -> dict[str, Any]:
    """What a scheduler_config.json says of this sampler, in the place of `deis`'s arguments."""
    spread = spread_from(keys)
    keys.word("algorithm_type", "deis", ALGORITHMS)
    keys.word("solver_type", "logrho", READ_AS)
    return {
        "spacing": keys.spacing("linspace"),
        "offset": keys.offset(),
        "order": keys.order(ORDERS),
        "spread": spread,
        "rounding": "nearest" if spread.name == "karras" else "down",
        "lower_at_end": keys.flag("lower_order_final", True),
    }


def _integrals(rho: Sequence[float]) -> list[float]:
    """What each slope weighs, the newest first: the integrals from rho[-2] to rho[-1] of the
    polynomials in log rho that are 1 at its own of `rho` and 0 at the others.
    """
    clock = np.log(rho)
    known, (start, end) = clock[:-1].tolist(), clock[-2:].tolist()
    found = []
    for own in reversed(range(len(known))):
        others = [u for i, u in enumerate(known) if i != own]
        curve = np.poly1d(np.poly(others) if others else [1.0])
        curve = curve / np.prod([known[own] - u for u in others])
        whole = curve - curve.deriv() + curve.deriv(2)  # the integral of curve(u) e^u is whole e^u
        found.append(float(whole(end) * np.exp(end) - whole(start) * np.exp(start)))
    return found
