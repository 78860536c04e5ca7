"""Noise levels between and beside the timesteps of a schedule, for solvers that walk in s = sigma /
alpha.

Such solvers may spread their levels by a rule of their own rather than by timesteps; the timestep
that the network gets is then looked up from the level.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mindlong.diffusion.schedules import CLEAN, Level, Schedule
from mindlong.utils.errors import ConfigError, did_you_mean

if TYPE_CHECKING:
    from mindlong.diffusion.samplers.file_keys import Keys

FINALS = ("zero", "sigma_min")
LEAST = 2.0**-24  # alpha^2 where a schedule has no signal, for solvers that divide by alpha
FLAGS = {
    "use_karras_sigmas": "karras",
    "use_exponential_sigmas": "exponential",
    "use_beta_sigmas": "beta",
}


def karras(high: float, low: float, steps: int, rho: float = 7.0) -> np.ndarray:
    """EDM's spread (arXiv 2206.00364, eq. 5)."""
    ramp = np.linspace(0, 1, steps)
    ends = high ** (1 / rho), low ** (1 / rho)
    return (ends[0] + ramp * (ends[1] - ends[0])) ** rho


def exponential(high: float, low: float, steps: int) -> np.ndarray:
    """Even in the logarithm."""
    return np.exp(np.linspace(np.log(high), np.log(low), steps))


def beta(high: float, low: float, steps: int, shape: float = 0.6) -> np.ndarray:
    """Quantiles of a beta distribution: dense at both ends (arXiv 2407.12173)."""
    from scipy.special import betaincinv

    quantiles = betaincinv(shape, shape, 1 - np.linspace(0, 1, steps))
    return low + quantiles * (high - low)


SPREADS: dict[str, Callable[[float, float, int], np.ndarray]] = {
    "karras": karras,
    "exponential": exponential,
    "beta": beta,
}


@dataclass(frozen=True)
class Spread:
    """How levels are spread where the timesteps do not say it.

    Attributes:
        name: of SPREADS; "" leaves the levels at the timesteps.
        high, low: the ends; None: those of the schedule (or of the timesteps visited).
    """

    name: str = ""
    high: float | None = None
    low: float | None = None

    def __post_init__(self) -> None:
        if self.name and self.name not in SPREADS:
            raise ConfigError(
                f"There is no spread of noise levels {self.name!r}.{did_you_mean(self.name, SPREADS)}"
            )

    def __call__(self, high: float, low: float, steps: int) -> np.ndarray:
        """The levels, descending, from `high` to `low` unless the spread has ends of its own."""
        ends = (
            high if self.high is None else self.high,
            low if self.low is None else self.low,
        )
        if not 0 < ends[1] <= ends[0]:
            raise ConfigError(
                f"noise levels go from {ends[0]:g} down to {ends[1]:g}; both must be above 0, the first the larger"
            )
        return SPREADS[self.name](*ends, steps)


AT_TIMESTEPS = Spread()


def spread_from(keys: Keys) -> Spread:
    """What a scheduler_config.json says of the spread of levels."""
    chosen = [name for key, name in FLAGS.items() if keys.flag(key, False)]
    if len(chosen) > 1:
        keys.refuse(f"it asks for {' and '.join(chosen)} noise levels at once; there can be one")
    return Spread(chosen[0] if chosen else "")


def table(schedule: Schedule) -> np.ndarray:
    """s of every timestep, (T,) float64, ascending; finite also where there is no signal."""
    squared = np.where(schedule.alphas_cumprod > 0, schedule.alphas_cumprod, LEAST)
    return np.sqrt((1.0 - squared) / squared)


def times_at(levels: np.ndarray, known: np.ndarray) -> np.ndarray:
    """The timesteps, as fractions, of levels s: straight lines in log s between the timesteps'
    `known`.
    """
    return np.interp(np.log(np.maximum(levels, 1e-10)), np.log(known), np.arange(len(known)))


def level_at(schedule: Schedule, s: float, t: float) -> Level:
    """The level with sigma / alpha = `s`; VideoCrafter2's factor is that of timestep `t`."""
    alpha = 1.0 / (1.0 + s * s) ** 0.5
    return Level(alpha, s * alpha, _scale(schedule, t))


def level_between(schedule: Schedule, t: float) -> Level:
    """The level of a fractional timestep: s interpolated between its two neighbours."""
    if not 0 <= t <= schedule.timesteps - 1:
        raise ConfigError(
            f"Timestep {t} is out of range; this schedule has timesteps 0 to {schedule.timesteps - 1}."
        )
    low, high = (
        floored(schedule.level(i)) for i in (int(t), min(int(t) + 1, schedule.timesteps - 1))
    )
    part = t - int(t)
    s = (1 - part) * low.sigma / low.alpha + part * high.sigma / high.alpha
    return level_at(schedule, s, t)


def floored(level: Level) -> Level:
    """`level`, with alpha^2 = LEAST where there is no signal at all. Levels that have some signal,
    however little, are left alone.
    """
    if level.alpha > 0:
        return level
    return Level(LEAST**0.5, (1.0 - LEAST) ** 0.5, level.signal_scale)


def last_level(schedule: Schedule, final: str) -> Level:
    """Where the last step leads: to the clean sample ("zero") or to timestep 0 ("sigma_min")."""
    if final not in FINALS:
        raise ConfigError(
            f"final is {final!r}; it must be zero or sigma_min.{did_you_mean(final, FINALS)}"
        )
    return CLEAN if final == "zero" else schedule.level(0)


def final_from(keys: Keys) -> dict[str, Any]:
    """What a scheduler_config.json says of the last step."""
    return {"final": keys.word("final_sigmas_type", "zero", FINALS)}


def _scale(schedule: Schedule, t: float) -> float:
    low = schedule.level(int(t)).signal_scale
    high = schedule.level(min(int(t) + 1, schedule.timesteps - 1)).signal_scale
    part = t - int(t)
    return (1 - part) * low + part * high
