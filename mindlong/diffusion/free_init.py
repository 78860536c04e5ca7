"""FreeInit (arXiv 2312.07537): sampling again from noise whose low frequencies are those of the
sample made before, so that first noise and training noise agree.

Legend: B videos, C channels of a latent, F frames, h w latent pixels.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from mindlong.utils.errors import ConfigError, did_you_mean

if TYPE_CHECKING:
    from mindlong.diffusion.schedules import Schedule

AXES = (-3, -2, -1)


def low_pass(
    shape_Fhw: tuple[int, int, int],
    method: str = "butterworth",
    order: int = 4,
    space: float = 0.25,
    time: float = 0.25,
) -> np.ndarray:
    """float64 (F, h, w): how much of each frequency is kept, the lowest in the middle.

    Args:
        method: of METHODS. "ideal" compares the squared distance with 2 * space, as published.
        order: of the Butterworth filter.
        space, time: frequencies at which the filter stops, as shares of the highest.
    """
    if method not in METHODS:
        raise ConfigError(f"free_init.method is {method!r}.{did_you_mean(method, METHODS)}")
    if space == 0 or time == 0:
        return np.zeros(shape_Fhw)
    along = [2 * np.arange(n) / n - 1 for n in shape_Fhw]
    frames, rows, columns = np.meshgrid(*along, indexing="ij")
    squared = (space / time * frames) ** 2 + rows**2 + columns**2
    return METHODS[method](squared, space, order)


def _butterworth(squared: np.ndarray, stop: float, order: int) -> np.ndarray:
    return 1 / (1 + (squared / stop**2) ** order)


def _gaussian(squared: np.ndarray, stop: float, order: int) -> np.ndarray:
    return np.exp(-squared / (2 * stop**2))


def _ideal(squared: np.ndarray, stop: float, order: int) -> np.ndarray:
    return (squared <= 2 * stop).astype(float)


METHODS: dict[str, Callable[[np.ndarray, float, int], np.ndarray]] = {
    "butterworth": _butterworth,
    "gaussian": _gaussian,
    "ideal": _ideal,
}


def mixed(low: np.ndarray, high: np.ndarray, kept_Fhw: np.ndarray) -> np.ndarray:
    """float32 (B, C, F, h, w): the frequencies of `low` that are kept, and those of `high` that
    are not. Of odd sizes the filter is not symmetric; the imaginary rest is left out, as published.
    """
    spectra = [
        np.fft.fftshift(np.fft.fftn(x.astype(np.float64), axes=AXES), axes=AXES)
        for x in (low, high)
    ]
    both = spectra[0] * kept_Fhw + spectra[1] * (1 - kept_Fhw)
    back = np.fft.ifftn(np.fft.ifftshift(both, axes=AXES), axes=AXES)
    return np.ascontiguousarray(back.real, np.float32)


def started_again(
    x0: np.ndarray, first: np.ndarray, fresh: np.ndarray, schedule: Schedule, kept_Fhw: np.ndarray
) -> np.ndarray:
    """The noise for the next sampling, float32 (B, C, F, h, w).

    Args:
        x0: the sample made before.
        first: the noise of the first sampling.
        fresh: new noise.
        kept_Fhw: a filter of `low_pass`.
    """
    level = schedule.level(schedule.timesteps - 1)
    return mixed(level.signal * x0 + level.sigma * first, fresh, kept_Fhw)


def steps_of(steps: int, iteration: int, iterations: int, fast: bool) -> int:
    """Denoising steps of an iteration, counted from 0; `fast`: fewer in the first ones."""
    return max(1, int(steps / iterations * (iteration + 1))) if fast else steps
