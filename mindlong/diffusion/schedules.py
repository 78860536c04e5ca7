"""Noise schedules: how much signal and how much noise a sample holds at each of T timesteps.

All tables are numpy float64, computed once; `Schedule.table(name)` casts one to float32, as the
originals store their buffers.
x_t = alpha_t x_0 + sigma_t eps with alpha_t = sqrt(alphas_cumprod[t]) and sigma_t = sqrt(1 -
alphas_cumprod[t]).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from mindlong.utils.errors import ConfigError, did_you_mean


@dataclass(frozen=True)
class Level:
    """How noisy a sample is: x = alpha * signal_scale * x_0 + sigma * eps, with alpha^2 + sigma^2 =
    1.
    """

    alpha: float
    sigma: float
    signal_scale: float = 1.0

    @property
    def signal(self) -> float:
        """The factor of x_0 in the sample."""
        return self.alpha * self.signal_scale


CLEAN = Level(1.0, 0.0)


@dataclass(frozen=True, eq=False)
class Schedule:
    """The tables of one noise schedule, each (T,) float64.

    `signal_scale` (at least T long) is VideoCrafter2's dynamic scale: a factor on x_0 beside
    sqrt(alphas_cumprod). None means 1. `whole` is the number of timesteps of the schedule that this
    one is the beginning of; 0: it is all of it.
    """

    betas: np.ndarray
    signal_scale: np.ndarray | None = None
    whole: int = 0

    def __post_init__(self) -> None:
        betas = self.betas
        if betas.ndim != 1 or not len(betas):
            raise ConfigError(
                f"A schedule needs a list of at least one beta; this one has shape {betas.shape}."
            )
        if not (betas.min() > 0 and betas.max() <= 1):  # false for NaN too
            raise ConfigError(
                f"A schedule's betas lie above 0, at most at 1; these go from {betas.min():g} to {betas.max():g}."
            )
        if self.signal_scale is not None and len(self.signal_scale) < len(betas):
            raise ConfigError(
                f"signal_scale has {len(self.signal_scale)} values; the schedule needs at least {len(betas)}."
            )

    @property
    def timesteps(self) -> int:
        """T, the number of noise levels."""
        return len(self.betas)

    @property
    def trained(self) -> int:
        """The number of noise levels that the network was trained on."""
        return self.whole or self.timesteps

    def first(self, count: int) -> Schedule:
        """The schedule's first `count` timesteps: what is left for a sample that starts less noisy.

        Raises:
            ConfigError: fewer than 1 or more than there are.
        """
        if not 1 <= count <= self.timesteps:
            raise ConfigError(
                f"The first {count} timesteps were asked for; this schedule has {self.timesteps}."
            )
        return replace(self, betas=self.betas[:count], whole=self.trained)

    def below(self, share: float) -> Schedule:
        """The schedule up to that share of its timesteps, at least one."""
        return self.first(max(round(share * self.timesteps), 1))

    @cached_property
    def alphas_cumprod(self) -> np.ndarray:
        """The squared signal factor: the running product of 1 - beta."""
        return np.cumprod(1.0 - self.betas)

    @cached_property
    def alphas_cumprod_prev(self) -> np.ndarray:
        """alphas_cumprod one timestep earlier; 1 (no noise) before the first."""
        return np.append(1.0, self.alphas_cumprod[:-1])

    @cached_property
    def tables(self) -> dict[str, np.ndarray]:
        """The twelve buffers of a Gaussian diffusion, by the names the originals' state dicts
        use.
        """
        betas, now, prev = self.betas, self.alphas_cumprod, self.alphas_cumprod_prev
        with np.errstate(
            divide="ignore"
        ):  # a zero terminal SNR has no reciprocal; samplers refuse eps there
            reciprocal, log_noise = 1.0 / now, np.log(1.0 - now)
        variance = betas * (1.0 - prev) / (1.0 - now)
        return {
            "betas": betas,
            "alphas_cumprod": now,
            "alphas_cumprod_prev": prev,
            "sqrt_alphas_cumprod": np.sqrt(now),
            "sqrt_one_minus_alphas_cumprod": np.sqrt(1.0 - now),
            "log_one_minus_alphas_cumprod": log_noise,
            "sqrt_recip_alphas_cumprod": np.sqrt(reciprocal),
            "sqrt_recipm1_alphas_cumprod": np.sqrt(reciprocal - 1.0),
            "posterior_variance": variance,
            "posterior_log_variance_clipped": np.log(np.maximum(variance, 1e-20)),
            "posterior_mean_coef1": betas * np.sqrt(prev) / (1.0 - now),
            "posterior_mean_coef2": (1.0 - prev) * np.sqrt(1.0 - betas) / (1.0 - now),
        }

    def table(self, name: str) -> np.ndarray:
        """One of the twelve buffers as (T,) float32."""
        if name not in self.tables:
            raise ConfigError(f"A schedule has no table {name!r}.{did_you_mean(name, self.tables)}")
        return self.tables[name].astype(np.float32)

    @cached_property
    def snr(self) -> np.ndarray:
        """Signal-to-noise ratio alpha^2 / sigma^2, (T,) float64."""
        return self.alphas_cumprod / (1.0 - self.alphas_cumprod)

    def level(self, t: int) -> Level:
        """The level of timestep `t`; any t below 0 is the clean sample."""
        if t < 0:
            return CLEAN
        if t >= self.timesteps:
            raise ConfigError(
                f"Timestep {t} is out of range; this schedule has timesteps 0 to {self.timesteps - 1}."
            )
        squared = float(self.alphas_cumprod[t])
        scale = 1.0 if self.signal_scale is None else float(self.signal_scale[t])
        return Level(squared**0.5, (1.0 - squared) ** 0.5, scale)

    def with_signal_scale(self, scale: np.ndarray) -> Schedule:
        """This schedule with VideoCrafter2's factor on x_0."""
        return replace(self, signal_scale=np.asarray(scale, np.float64))


def of_curve(
    curve: Callable[[np.ndarray], np.ndarray], timesteps: int = 1000, largest: float = 0.999
) -> Schedule:
    """The schedule whose alphas_cumprod follow `curve` over [0, 1], with betas from 0 to `largest`.

    alphas_cumprod is the product of the *clipped* alphas, not the curve itself; the two differ at
    the last timestep.
    """
    _check_timesteps(timesteps)
    values = curve(np.linspace(0, timesteps, timesteps + 1, dtype=np.float64) / timesteps)
    values = values / values[0]
    return Schedule(np.clip(1.0 - values[1:] / values[:-1], 0.0, largest))


def cosine(timesteps: int = 1000, offset: float = 0.008, largest: float = 0.9999) -> Schedule:
    """Improved DDPM's cosine schedule (arXiv 2102.09672, eq. 17).

    Video Diffusion Models clip betas at 0.9999; diffusers' `squaredcos_cap_v2` at 0.999.
    """

    def curve(position: np.ndarray) -> np.ndarray:
        return np.cos((position + offset) / (1 + offset) * np.pi * 0.5) ** 2

    return of_curve(curve, timesteps, largest)


def linear(timesteps: int = 1000, start: float = 1e-4, end: float = 2e-2) -> Schedule:
    """DDPM's schedule (arXiv 2006.11239): betas evenly spaced from `start` to `end`."""
    _check_timesteps(timesteps)
    return Schedule(np.linspace(start, end, timesteps, dtype=np.float64))


def scaled_linear(timesteps: int = 1000, start: float = 0.00085, end: float = 0.012) -> Schedule:
    """Stable Diffusion's schedule: square roots of the betas evenly spaced (ModelScope calls it
    linear_sd).
    """
    _check_timesteps(timesteps)
    return Schedule(np.linspace(start**0.5, end**0.5, timesteps, dtype=np.float64) ** 2)


def zero_terminal_snr(schedule: Schedule) -> Schedule:
    """The schedule shifted and stretched so that the last timestep is pure noise (arXiv 2305.08891,
    algorithm 1).

    Needs a v- or x0-predicting network: eps says nothing about x_0 where there is no signal.
    """
    root = np.sqrt(schedule.alphas_cumprod)
    if len(root) < 2:
        raise ConfigError("A zero terminal SNR needs a schedule of at least 2 timesteps.")
    return _with_alphas(schedule, ((root - root[-1]) * root[0] / (root[0] - root[-1])) ** 2)


def snr_shifted(schedule: Schedule, scale: float) -> Schedule:
    """The schedule with every signal-to-noise ratio divided by `scale` (CogVideoX's
    `snr_shift_scale`, arXiv 2408.06072); apply it before `zero_terminal_snr`.
    """
    if not 0 < scale < np.inf:
        raise ConfigError(f"The shift of a schedule is {scale:g}; it must be above 0.")
    squared = schedule.alphas_cumprod
    return _with_alphas(schedule, squared / (scale + (1.0 - scale) * squared))


def _with_alphas(schedule: Schedule, squared: np.ndarray) -> Schedule:
    """`schedule` with other alphas_cumprod."""
    betas = 1.0 - np.append(squared[0], squared[1:] / squared[:-1])
    return replace(schedule, betas=np.clip(betas, 0.0, 1.0))


def videocrafter_scale(length: int = 1400, base: float = 0.7, turn: int = 400) -> np.ndarray:
    """VideoCrafter2's dynamic scale: from 1 to `base` over the first `turn` timesteps, `base`
    after; (length,) float64.

    The released checkpoint carries 1400 values for 1000 timesteps; those past the last timestep are
    never read.
    """
    return np.append(np.linspace(1.0, base, turn), np.full(max(length - turn, 0), base))[:length]


SCHEDULES: dict[str, Callable[..., Schedule]] = {
    "cosine": cosine,
    "linear": linear,
    "scaled_linear": scaled_linear,
}


def make(name: str, timesteps: int = 1000, **arguments: float) -> Schedule:
    """A schedule by its name: cosine, linear or scaled_linear."""
    if name not in SCHEDULES:
        raise ConfigError(f"There is no noise schedule {name!r}.{did_you_mean(name, SCHEDULES)}")
    return SCHEDULES[name](timesteps, **arguments)


def of_options(options: Any) -> Schedule:
    """The noising process that a configuration's `diffusion` section describes."""
    betas = (
        {}
        if options.schedule == "cosine"
        else {"start": options.beta_start, "end": options.beta_end}
    )
    made = make(options.schedule, options.timesteps, **betas)
    if options.snr_shift != 1.0:
        made = snr_shifted(made, options.snr_shift)
    return zero_terminal_snr(made) if options.zero_terminal_snr else made


def _check_timesteps(timesteps: int) -> None:
    if timesteps < 1:
        raise ConfigError(f"A schedule needs at least 1 timestep; it got {timesteps}.")
