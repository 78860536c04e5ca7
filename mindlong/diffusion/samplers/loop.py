"""What every sampler shares: asking the model for a clean sample, walking the timesteps, checking
the noise.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from mindlong.diffusion.guidance import Model
from mindlong.diffusion.parameterise import check_prediction, eps_from_x0, to_eps, to_x0
from mindlong.diffusion.schedules import Level
from mindlong.diffusion.thresholding import Clip
from mindlong.utils.errors import ConfigError

Noise = Callable[[int], np.ndarray]
Callback = Callable[[int, int, np.ndarray], object]
Update = Callable[
    [int, np.ndarray, np.ndarray, np.ndarray], np.ndarray
]  # (step, x, x0, eps) -> next x


@dataclass(frozen=True)
class Denoiser:
    """A model together with what its output means."""

    model: Model
    prediction: str = "eps"
    clip: Clip | None = None
    rederive_eps: bool = (
        True  # after clipping, the noise that fits the clipped x0 rather than the one predicted
    )

    def __post_init__(self) -> None:
        check_prediction(self.prediction)

    def __call__(self, x: np.ndarray, t: float, level: Level) -> tuple[np.ndarray, np.ndarray]:
        """(x0, eps) predicted for `x` (B, ...) at timestep `t`; both float32."""
        if self.prediction == "eps" and level.alpha == 0:
            raise ConfigError(
                f"Timestep {t} holds no signal, so a predicted eps says nothing about x0; train with v or x0."
            )
        out = np.asarray(self.model(x, _batch_times(t, len(x))), np.float32)
        if out.shape != x.shape:
            raise ConfigError(
                f"The model returned shape {out.shape} for a sample of shape {x.shape}; a sampler needs them equal."
            )
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
    """A callback that can also save where a run is and take it up again: `after` is told what
    `found` has to give back.

    `found` is (steps done, x, memory) of an earlier run or None; memory is the sampler's last
    predicted clean sample, if it uses one.
    """

    found: tuple[int, np.ndarray, np.ndarray | None] | None = None

    def __call__(self, step: int, total: int, x0: np.ndarray) -> object:
        """As any callback."""
        return None

    def after(self, steps: int, total: int, x: np.ndarray, memory: np.ndarray | None) -> None:
        """`steps` of `total` are done; `x` goes into the next."""


def walk(
    denoiser: Denoiser,
    x: np.ndarray,
    times: Sequence[float],
    levels: Sequence[Level],
    update: Update,
    callback: Callback | None = None,
) -> np.ndarray:
    """Denoise `x` along `times`; `levels[i]` is the noise level at times[i]. Returns the last x, or
    x0 where the callback stopped. A callback that is a `Keeper` is told of every step and may start
    the walk in the middle.
    """
    x, keeper, done = (
        np.asarray(x, np.float32),
        callback if isinstance(callback, Keeper) else Keeper(),
        0,
    )
    if keeper.found is not None:
        done, x, update.previous_x0 = keeper.found
    for step, (t, level) in enumerate(zip(times, levels, strict=False)):
        if step < done:
            continue
        x0, eps = denoiser(x, t, level)
        if callback is not None and callback(step + 1, len(times), x0):
            return x0
        x = update(step, x, x0, eps)
        keeper.after(step + 1, len(times), x, getattr(update, "previous_x0", None))
    return x


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
