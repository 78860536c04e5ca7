"""Samplers: from noise to a sample, all with one signature.

    sample_NAME(model, x_T, schedule, steps, ..., noise=None, callback=None, prediction="eps",
    clip=None, times=None)

- `model(x, t) -> prediction`: (B, ...) float32 and (B,) int32 timesteps in, (B, ...) out. Guidance
  wraps it (diffusion/guidance.py).
- `x_T`: (B, ...) float32, standard normal (or whatever a `times` that starts later expects).
- `noise(step_index) -> array`: broadcastable to x; index 0 is the first, noisiest step. Asked only
  where a step adds noise, so a
  tape of one array per step replays alike whether or not an original draws noise it then throws
  away.
- `callback(step, total, x0) -> stop?`: after each model call, step from 1; true ends the run, which
  then returns this x0.
- `clip(x0) -> x0`: thresholding of each predicted clean sample (diffusion/thresholding.py).
- `times`: timesteps to visit, descending, instead of the sampler's own.

Coefficients are float64, arrays stay float32. Errors: ConfigError.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from mindlong.diffusion.samplers.ddim import FLAVOURS, DdimFlavour, sample_ddim
from mindlong.diffusion.samplers.ddpm import sample_ddpm
from mindlong.diffusion.samplers.dpm_solver import sample_dpm_solver, sample_dpm_solver_sde
from mindlong.diffusion.samplers.euler import sample_euler, sample_euler_ancestral
from mindlong.utils.errors import ConfigError, did_you_mean

SAMPLERS: dict[str, Callable[..., np.ndarray]] = {
    "ddim": sample_ddim,
    "ddpm": sample_ddpm,
    "dpm_solver": sample_dpm_solver,
    "dpm_solver_sde": sample_dpm_solver_sde,
    "euler": sample_euler,
    "euler_ancestral": sample_euler_ancestral,
}


def sampler(name: str) -> Callable[..., np.ndarray]:
    """The sampler called `name`."""
    if name not in SAMPLERS:
        raise ConfigError(f"There is no sampler {name!r}.{did_you_mean(name, SAMPLERS)}")
    return SAMPLERS[name]


__all__ = [
    "FLAVOURS",
    "SAMPLERS",
    "DdimFlavour",
    "sample_ddim",
    "sample_ddpm",
    "sample_dpm_solver",
    "sample_dpm_solver_sde",
    "sample_euler",
    "sample_euler_ancestral",
    "sampler",
]
