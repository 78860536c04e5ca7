"""UniPC (arXiv 2302.04867): a multistep predictor in the clock of log-SNR, and a corrector that
costs no further call of the model.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
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
from mindlong.diffusion.samplers.visits import at_levels, at_timesteps, log_snr
from mindlong.utils.errors import ConfigError, did_you_mean

if TYPE_CHECKING:
    from mindlong.diffusion.samplers.file_keys import Keys
    from mindlong.diffusion.schedules import Level, Schedule

FORMS = ("bh1", "bh2")
ORDERS = 6
READ_AS = {"bh1": "bh1", **dict.fromkeys(("bh2", "midpoint", "heun", "logrho"), "bh2")}


def unipc(
    schedule: Schedule,
    steps: int = 20,
    *,
    spacing: str = "linspace",
    offset: int = 0,
    times: Sequence[int] | None = None,
    order: int = 2,
    form: str = "bh2",
    of_x0: bool = True,
    spread: Spread = AT_TIMESTEPS,
    rounding: str = "nearest",
    final: str = "zero",
    lower_at_end: bool = True,
    uncorrected: Sequence[int] = (),
) -> Rule:
    """UniPC as a rule.

    Args:
        schedule: the noise levels.
        steps: how many.
        spacing, offset: which timesteps are visited.
        times: timesteps to visit, descending, in place of the list.
        order: 1 to 6; the first steps are of lower order.
        form: "bh1" (small numbers of steps, unconditional) or "bh2".
        of_x0: the curve is that of predicted clean samples, else of predicted noise.
        spread: noise levels that do not follow from the timesteps.
        rounding: of timesteps looked up for them: "nearest" or "down".
        final: the last step leads to the clean sample ("zero") or to timestep 0 ("sigma_min").
        lower_at_end: the last steps are of lower order.
        uncorrected: steps, from 0, that are not corrected afterwards.

    Raises:
        ConfigError: an argument out of its range.
    """
    _check(order, form, final, lower_at_end)
    if spread.name:
        visited, levels = at_levels(schedule, spread, steps, rounding)
    else:
        visited, levels = at_timesteps(schedule, times, spacing, steps, offset)
    count = len(visited)
    orders = [min(order, i + 1) for i in range(count)]
    if lower_at_end:
        orders = [min(of_step, count - i) for i, of_step in enumerate(orders)]
    every = [*levels, last_level(schedule, final)]
    solver = _Solver(every, orders, form, of_x0, frozenset(uncorrected), order)
    return Rule(visited, levels, solver.update)


def from_file(keys: Keys) -> dict[str, Any]:
    """What a scheduler_config.json says of this sampler, in the place of `unipc`'s arguments."""
    spread = spread_from(keys)
    if keys.get("solver_p", None) is not None:
        keys.refuse("solver_p names another predictor, of which there is none")
    return {
        "spacing": keys.spacing("linspace"),
        "offset": keys.offset(),
        "order": keys.order(ORDERS),
        "form": READ_AS[keys.word("solver_type", "bh2", READ_AS)],
        "of_x0": keys.flag("predict_x0", True),
        "spread": spread,
        "rounding": "nearest" if spread.name == "karras" else "down",
        "lower_at_end": keys.flag("lower_order_final", True),
        "uncorrected": keys.wholes("disable_corrector"),
        **final_from(keys),
    }


@dataclass(frozen=True)
class _Solver:
    """The update; `levels` has one more than there are steps. Memory: the corrected x of the last
    step, then the last outputs (clean samples or noise), the newest first.
    """

    levels: Sequence[Level]
    orders: Sequence[int]
    form: str
    of_x0: bool
    uncorrected: frozenset[int]
    order: int

    def update(
        self, step: int, x: np.ndarray, x0: np.ndarray, eps: np.ndarray, memory: np.ndarray | None
    ) -> Move:
        out = x0 if self.of_x0 else eps
        if memory is None:
            past = []
        else:
            before, *past = np.split(memory, memory.shape[1] // x.shape[1], axis=1)
            if step - 1 not in self.uncorrected:
                x = self._corrected(step, before, past, out)
        known = [out, *past][: self.order]
        mean = self._predicted(step, x, known)
        return Move(mean.astype(x.dtype), 0.0, np.concatenate([x, *known], axis=1))

    def _predicted(self, step: int, x: np.ndarray, known: Sequence[np.ndarray]) -> np.ndarray:
        now, after, order = self.levels[step], self.levels[step + 1], self.orders[step]
        if after.sigma == 0:
            clean = known[0] if self.of_x0 else (x - now.sigma * known[0]) / now.signal
            return after.signal * clean
        ways, rows, right = self._system(step, order)
        base, gain = self._base(x, known[0], now, after)
        if order == 1:
            return base
        weights = [0.5] if order == 2 else np.linalg.solve(rows[:-1, :-1], right[:-1])
        slopes = zip(weights, ways, known[1:order], strict=False)
        return base - gain * sum(w * (m - known[0]) / r for w, r, m in slopes)

    def _corrected(
        self, step: int, before: np.ndarray, past: Sequence[np.ndarray], out: np.ndarray
    ) -> np.ndarray:
        """The step that led to `step`, once more with what the model says there."""
        now, after, order = self.levels[step - 1], self.levels[step], self.orders[step - 1]
        ways, rows, right = self._system(step - 1, order)
        base, gain = self._base(before, past[0], now, after)
        weights = [0.5] if order == 1 else np.linalg.solve(rows, right)
        slopes = zip(weights, ways, [*past[1:order], out], strict=True)
        made = base - gain * sum(w * (m - past[0]) / r for w, r, m in slopes)
        return made.astype(before.dtype)

    def _base(
        self, x: np.ndarray, out: np.ndarray, now: Level, after: Level
    ) -> tuple[np.ndarray, float]:
        """The step of first order, and what the slopes are multiplied by."""
        h = log_snr(after) - log_snr(now)
        length = -h if self.of_x0 else h
        scale = after.signal if self.of_x0 else after.sigma
        of_x = after.sigma / now.sigma if self.of_x0 else after.signal / now.signal
        gain = length if self.form == "bh1" else math.expm1(length)
        return of_x * x - scale * math.expm1(length) * out, scale * gain

    def _system(self, step: int, order: int) -> tuple[list[float], np.ndarray, np.ndarray]:
        """(how far back the outputs lie in steps, and 1 for the new one; the matrix and the right
        side of the equations for their weights).
        """
        clock = [log_snr(level) for level in self.levels[step + 1 - order : step + 2]]
        h = clock[-1] - clock[-2]
        ways = [(clock[-2 - i] - clock[-2]) / h for i in range(1, order)] + [1.0]
        length = -h if self.of_x0 else h
        gain = length if self.form == "bh1" else math.expm1(length)
        phi, factorial, right = math.expm1(length) / length - 1.0, 1.0, []
        for i in range(1, order + 1):
            right.append(phi * factorial / gain)
            factorial *= i + 1
            phi = phi / length - 1.0 / factorial
        return ways, np.vander(ways, order, increasing=True).T, np.asarray(right)


def _check(order: int, form: str, final: str, lower_at_end: bool) -> None:
    if not 1 <= order <= ORDERS:
        raise ConfigError(f"The order of unipc is {order}; it must be 1 to {ORDERS}.")
    if form not in FORMS:
        raise ConfigError(f"form is {form!r}; it must be bh1 or bh2.{did_you_mean(form, FORMS)}")
    if order > 1 and not lower_at_end and final == "zero":
        raise ConfigError(
            "unipc cannot end at the clean sample in a step of higher order (lower_order_final false, "
            "final_sigmas_type zero); its log-SNR is infinite"
        )
