"""What every sampler shares: its form, asking the model for a clean sample, walking the timesteps,
adding noise.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from mindlong.diffusion.finite import Row, check_finite
from mindlong.diffusion.parameterise import check_prediction, eps_from_x0, to_eps, to_x0
from mindlong.utils.errors import ConfigError

if TYPE_CHECKING:
    from mindlong.diffusion.guidance import Model
    from mindlong.diffusion.schedules import Level
    from mindlong.diffusion.thresholding import Clip

Noise = Callable[[int], np.ndarray]
Callback = Callable[[int, int, np.ndarray], object]


class Move(NamedTuple):
    """Where a step leads: to `mean`, and `spread` times fresh noise on it.

    `memory` is what the next step's update wants to know of this one: (B, k C, ...) for k arrays
    like the sample, joined along the channels.
    """

    mean: np.ndarray
    spread: float = 0.0
    memory: np.ndarray | None = None


Update = Callable[
    [int, np.ndarray, np.ndarray, np.ndarray, np.ndarray | None], Move
]  # (step, x, x0, eps, memory)


@dataclass(frozen=True)
class Rule:
    """A sampler worked out for a schedule and a number of steps.

    Attributes:
        times: timesteps at which the model is asked, descending; they may be fractions.
        levels: the noise level at each of them.
        update: what follows a prediction.
        start: the factor on x_T.
        rederive_eps: after clipping, eps is the noise that fits the clipped x0 rather than the one
            predicted.
    """

    times: Sequence[float]
    levels: Sequence[Level]
    update: Update
    start: float = 1.0
    rederive_eps: bool = True


@dataclass(frozen=True)
class Held:
    """Frames of the sample that are known: `given` (B, C, len(where), h, w) at the places `where`.

    At every step they have their own noise level, so the network sees them so, and they come out as
    given.
    """

    given: np.ndarray
    where: Sequence[int]

    def into(
        self, x: np.ndarray, x0: np.ndarray, eps: np.ndarray, level: Level
    ) -> tuple[np.ndarray, np.ndarray]:
        """x0 and eps with what is true of the known frames."""
        places = np.asarray(self.where, int)
        x0, eps = np.array(x0, np.float32), np.array(eps, np.float32)
        x0[:, :, places] = self.given
        eps[:, :, places] = eps_from_x0(x[:, :, places], self.given, level.signal, level.sigma)
        return x0, eps

    def ending(self, x: np.ndarray) -> np.ndarray:
        """The last sample with the known frames as given: some rules end above no noise."""
        x = np.array(x, np.float32)
        x[:, :, np.asarray(self.where, int)] = self.given
        return x


def check_says_x0(prediction: str, t: float, level: Level) -> None:
    """Raise ConfigError where nothing but noise is left and the network predicts just that."""
    if prediction == "eps" and level.alpha == 0:
        raise ConfigError(
            f"Timestep {t:g} holds no signal, so a predicted eps says nothing about x0; sample with "
            "sample.spacing=leading, which visits none such, or train with v or x0."
        )


@dataclass(frozen=True)
class Denoiser:
    """A model together with what its output means."""

    model: Model
    prediction: str = "eps"
    clip: Clip | None = None
    rederive_eps: bool = True
    held: Held | None = None
    rows: Sequence[Row] = ()

    def __post_init__(self) -> None:
        check_prediction(self.prediction)

    def __call__(
        self, x: np.ndarray, t: float, level: Level, when: str = "a step"
    ) -> tuple[np.ndarray, np.ndarray]:
        """(x0, eps) predicted for `x` (B, ...) at timestep `t`; both float32. `when` is for
        sentences.

        Raises:
            ConfigError: eps at a level without signal, or a prediction of another shape.
            NotFiniteError: the prediction is not finite.
        """
        check_says_x0(self.prediction, t, level)
        out = np.asarray(self.model(x, _batch_times(t, len(x))), np.float32)
        if out.shape != x.shape:
            raise ConfigError(
                f"The model returned shape {out.shape} for a sample of shape {x.shape}; a sampler needs them equal."
            )
        check_finite(out, "The network's prediction", f"{when} (timestep {t:g})", self.rows)
        with np.errstate(over="ignore", invalid="ignore"):  # `walk` names what comes of it
            x0, eps = self._read(x, out, level)
        return (x0, eps) if self.held is None else self.held.into(x, x0, eps, level)

    def _read(self, x: np.ndarray, out: np.ndarray, level: Level) -> tuple[np.ndarray, np.ndarray]:
        x0 = to_x0(self.prediction, x, out, level.alpha, level.sigma) / np.float32(
            level.signal_scale
        )
        if self.clip is None:
            return x0, to_eps(self.prediction, x, out, level.alpha, level.sigma)
        x0 = self.clip(x0)
        if self.rederive_eps:
            return x0, eps_from_x0(x, x0, level.signal, level.sigma)
        return x0, to_eps(self.prediction, x, out, level.alpha, level.sigma)


class Keeper:
    """A callback that can also save where a run is and take it up again: `after` gets what `found`
    has to give back.

    `found` is (steps done, x, memory) of an earlier run or None; memory as in `Move`.
    """

    found: tuple[int, np.ndarray, np.ndarray | None] | None = None

    def __call__(self, step: int, total: int, x0: np.ndarray) -> object:
        """As any callback."""
        return None

    def after(self, steps: int, total: int, x: np.ndarray, memory: np.ndarray | None) -> None:
        """`steps` of `total` are done; `x` goes into the next."""


def walk(
    denoiser: Denoiser,
    x_T: np.ndarray,
    rule: Rule,
    noise: Noise | None = None,
    callback: Callback | None = None,
) -> np.ndarray:
    """Denoise `x_T` by `rule`. Returns the last x, or x0 where the callback stopped.

    A callback that is a `Keeper` sees every step and may start the walk in the middle.

    Raises:
        NotFiniteError: a prediction or a sample is not finite; the sentence names the step.
    """
    keeper = callback if isinstance(callback, Keeper) else Keeper()
    total = len(rule.times)
    done, x, memory = keeper.found or (0, np.asarray(x_T, np.float32) * rule.start, None)
    for step in range(done, total):
        when = f"step {step + 1} of {total}"
        x0, eps = denoiser(x, rule.times[step], rule.levels[step], when)
        if callback is not None and callback(step + 1, total, x0):
            return x0
        with np.errstate(over="ignore", invalid="ignore"):  # found and named below
            mean, spread, memory = rule.update(step, x, x0, eps, memory)
            x = add(mean, spread, noise, step)
        check_finite(x, "The sample", f"the end of {when}", denoiser.rows)
        keeper.after(step + 1, total, x, memory)
    return x if denoiser.held is None else denoiser.held.ending(x)


def add(mean: np.ndarray, spread: float, noise: Noise | None, step: int) -> np.ndarray:
    """mean + spread * noise(step); the noise is asked for only if `spread` is above 0."""
    if not spread > 0:
        return mean
    if noise is None:
        raise ConfigError("This sampler adds noise at every step, and no noise was given.")
    drawn = np.asarray(noise(step), np.float32)
    try:
        fits = np.broadcast_shapes(drawn.shape, mean.shape) == mean.shape
    except ValueError:
        fits = False
    if not fits:
        raise ConfigError(
            f"The noise of step {step} has shape {drawn.shape}; it must broadcast to the sample's {mean.shape}."
        )
    return mean + spread * drawn


def _batch_times(t: float, rows: int) -> np.ndarray:
    whole = float(t).is_integer()
    return np.full(rows, t, np.int32 if whole else np.float32)
