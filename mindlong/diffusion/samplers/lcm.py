"""Samplers of networks distilled to a few steps: latent consistency (LCM, arXiv 2310.04378) and
trajectory consistency (TCD, arXiv 2402.19159).

Both visit some of the timesteps that the teacher's solver was run on while distilling; published
systems choose them in different ways, and each is called "4 steps".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from mindlong.diffusion.samplers.flavours import LCM_FLAVOURS, LcmFlavour
from mindlong.diffusion.samplers.loop import Move, Rule
from mindlong.diffusion.samplers.spacing import check_times
from mindlong.utils.errors import ConfigError, did_you_mean

if TYPE_CHECKING:
    from mindlong.diffusion.samplers.file_keys import Keys
    from mindlong.diffusion.schedules import Level, Schedule

DATA_DEVIATION = 0.5  # of clean samples, as the published boundary conditions take it
SCALING = 10.0  # on timesteps in them


def boundary(t: float, scaling: float = SCALING) -> tuple[float, float]:
    """(factor of x, factor of x0) in what a consistency model says at timestep `t`: all of x at 0,
    nearly nothing of it elsewhere.
    """
    scaled = scaling * t
    squared = scaled**2 + DATA_DEVIATION**2
    return DATA_DEVIATION**2 / squared, scaled / squared**0.5


def lcm(
    schedule: Schedule,
    steps: int = 4,
    *,
    flavour: str | LcmFlavour = "lcm",
    original: int = 0,
    scaling: float = SCALING,
    times: Sequence[int] | None = None,
) -> Rule:
    """Multistep consistency sampling as a rule: to the clean sample, and back up to the next level
    with fresh noise; the last step stays at the clean sample.

    Args:
        schedule: the noise levels.
        steps: how many.
        flavour: whose list of timesteps, a name in LCM_FLAVOURS or one made of parts.
        original: timesteps of the teacher's solver; 0: the flavour's.
        scaling: on timesteps in the boundary conditions.
        times: timesteps to visit, descending, in place of the list.

    Raises:
        ConfigError: an argument out of its range.
    """
    visited = _visited(schedule, steps, flavour, original, times)
    levels = [schedule.level(t) for t in visited]

    def update(
        step: int, x: np.ndarray, x0: np.ndarray, eps: np.ndarray, memory: np.ndarray | None
    ) -> Move:
        of_x, of_x0 = boundary(visited[step], scaling)
        clean = of_x * x + of_x0 * x0
        if step + 1 == len(visited):
            return Move(clean)
        after = levels[step + 1]
        return Move(after.signal * clean, after.sigma)

    return Rule(visited, levels, update, rederive_eps=False)


def tcd(
    schedule: Schedule,
    steps: int = 4,
    *,
    eta: float = 0.3,
    flavour: str | LcmFlavour = "lcm",
    original: int = 0,
    times: Sequence[int] | None = None,
) -> Rule:
    """Strategic stochastic sampling as a rule: down to (1 - eta) of the next timestep, and back up
    to it with fresh noise; the last step ends at timestep 0.

    Args:
        schedule, steps, flavour, original, times: as for `lcm`.
        eta: 0 is deterministic; 1 goes down to timestep 0 each time.

    Raises:
        ConfigError: an argument out of its range.
    """
    if not 0 <= eta <= 1:
        raise ConfigError(f"eta is {eta}; it must be between 0 (deterministic) and 1.")
    visited = _visited(schedule, steps, flavour, original, times)
    levels = [schedule.level(t) for t in visited]
    after = [schedule.level(t) for t in (*visited[1:], 0)]
    below = [schedule.level(int((1 - eta) * t)) for t in (*visited[1:], 0)]

    def update(
        step: int, x: np.ndarray, x0: np.ndarray, eps: np.ndarray, memory: np.ndarray | None
    ) -> Move:
        down = below[step].signal * x0 + below[step].sigma * eps
        if step + 1 == len(visited):
            return Move(down)
        return _noised(down, below[step], after[step])

    return Rule(visited, levels, update, rederive_eps=False)


def from_file(keys: Keys) -> dict[str, Any]:
    """What a scheduler_config.json says of `lcm`, in the place of its arguments."""
    original = keys.whole("original_inference_steps", 50)
    return {"original": original, "scaling": keys.number("timestep_scaling", SCALING)}


def tcd_from_file(keys: Keys) -> dict[str, Any]:
    """The same of `tcd`, whose step reads no timestep_scaling."""
    return {"original": keys.whole("original_inference_steps", 50)}


def _noised(x: np.ndarray, level: Level, after: Level) -> Move:
    """`x` at `level` brought up to the noisier level `after`."""
    kept = after.alpha / level.alpha
    scale = kept * after.signal_scale / level.signal_scale
    return Move(scale * x, max(1.0 - kept**2, 0.0) ** 0.5)


def _visited(
    schedule: Schedule,
    steps: int,
    flavour: str | LcmFlavour,
    original: int,
    times: Sequence[int] | None,
) -> list[int]:
    if times is not None:
        return check_times(times, schedule.timesteps)
    if isinstance(flavour, str):
        if flavour not in LCM_FLAVOURS:
            raise ConfigError(
                f"There is no list of few steps {flavour!r}.{did_you_mean(flavour, LCM_FLAVOURS)}"
            )
        flavour = LCM_FLAVOURS[flavour]
    return (replace(flavour, original=original) if original else flavour).times(schedule, steps)
