"""DDIM inversion: the noise from which DDIM sampling leads back to a given clean sample (arXiv
2010.02502, section 4.3).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from mindlong.diffusion.finite import Row, check_finite
from mindlong.diffusion.samplers.ddim import move
from mindlong.diffusion.samplers.flavours import DdimFlavour, flavour_of
from mindlong.diffusion.samplers.loop import Callback, Denoiser
from mindlong.diffusion.schedules import CLEAN, Level, Schedule
from mindlong.utils.errors import ConfigError

if TYPE_CHECKING:
    from mindlong.diffusion.guidance import Model


def invert_ddim(
    model: Model,
    x0: np.ndarray,
    schedule: Schedule,
    steps: int = 50,
    *,
    prediction: str = "eps",
    flavour: str | DdimFlavour = "diffusers",
    refine: int = 0,
    callback: Callback | None = None,
    compat: bool = False,
    rows: Sequence[Row] = (),
) -> list[np.ndarray]:
    """The samples on the way from `x0` (B, ...) to noise: steps + 1 arrays, the first x0 itself,
    the last the inverted noise.

    Each step goes up one entry of the flavour's timesteps (Tune-A-Video's list with the default
    flavour: 1, 21, ... 981 for 50 steps), asking the model at the sample it leaves with the
    timestep it goes to.

    Args:
        refine: repeats every step that often at the sample just found, which makes the round trip
            through ddim exact in the limit.
        callback: callback(step, total, sample) may stop early.
        compat: takes any output for eps, as Tune-A-Video's code does: with a v-predicting network
            the result is then not noise.
        rows: what the rows are, for sentences.

    Raises:
        ConfigError: a negative `refine`. NotFiniteError: a prediction or a sample is not finite.
    """
    if refine < 0:
        raise ConfigError(f"refine is {refine}; it must be 0 or more repetitions.")
    flavour = flavour_of(flavour)
    times = flavour.times(schedule.timesteps, steps)
    lower, times = flavour.after(schedule, times, steps)[::-1], times[::-1]
    denoiser = Denoiser(model, "eps" if compat else prediction, rows=rows)
    path = [np.asarray(x0, np.float32)]
    for step, t in enumerate(times):
        when = f"step {step + 1} of {len(times)} of the inversion"
        level = schedule.level(t)
        path.append(_ascend(denoiser, path[-1], t, lower[step], level, refine, when))
        check_finite(path[-1], "The sample", f"the end of {when}", rows)
        if callback is not None and callback(step + 1, len(times), path[-1]):
            break
    return path


def _ascend(
    denoiser: Denoiser, x: np.ndarray, t: int, low: Level, high: Level, refine: int, when: str
) -> np.ndarray:
    """The sample at level `high` from which one DDIM step leads to `x` at level `low`."""
    guess, level = (
        x,
        low,
    )  # a v is turned into eps at the level its sample has: first the lower one, later the one found
    for _ in range(refine + 1):
        eps = denoiser(guess, t, level, when)[1]
        guess, level = move(_clean(x, eps, low), eps, high), high
    return guess


def _clean(x: np.ndarray, eps: np.ndarray, level: Level) -> np.ndarray:
    return x if level is CLEAN else (x - level.sigma * eps) / level.signal
