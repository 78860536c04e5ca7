"""Samplers of networks distilled to a few steps: latent consistency (LCM, arXiv 2310.04378) and
trajectory consistency (TCD, arXiv 2402.19159).

Both visit some of the timesteps that the teacher's solver was run on while distilling; published
systems choose them in different ways, and each is called "4 steps".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from mindlong.diffusion.samplers.file_keys import Keys
from mindlong.diffusion.samplers.loop import Move, Rule
from mindlong.diffusion.samplers.spacing import check_times
from mindlong.diffusion.schedules import Level, Schedule
from mindlong.utils.errors import ConfigError, did_you_mean

DATA_DEVIATION = 0.5  # of clean samples, as the published boundary conditions take it
SCALING = 10.0  # on timesteps in them


@dataclass(frozen=True)
class LcmFlavour:
    """How a published system chooses its timesteps.

    Attributes:
        original: timesteps of the teacher's solver, the highest T - 1.
        choice: "even": as far apart as their number allows, from the top; "strided": every
            (original // steps)-th from the top.
        unguided: the guidance scale that means none to a network that is told its guidance: it is
            told the scale less this.
    """

    original: int = 50
    choice: str = "even"
    unguided: float = 1.0

    def times(self, schedule: Schedule, steps: int) -> list[int]:
        """The timesteps visited, descending.

        Raises:
            ConfigError: more steps than the teacher's solver had in this part of the schedule.
        """
        if not 1 <= self.original <= schedule.trained:
            raise ConfigError(
                f"the teacher's solver had {self.original} timesteps (sample.original); it must be 1 to {schedule.trained}"
            )
        stride = schedule.trained // self.original
        count = min(schedule.timesteps // stride, self.original)
        if not 1 <= steps <= count:
            raise ConfigError(
                f"steps is {steps}; of the {self.original} timesteps of the teacher's solver (sample.original) "
                f"{count} are in this part of the schedule, so it can be 1 to {count}"
            )
        known = (np.arange(count, 0, -1) * stride - 1).tolist()
        if self.choice == "strided":
            return known[:: count // steps][:steps]
        return [known[int(i)] for i in np.floor(np.linspace(0, count, steps, endpoint=False))]


FLAVOURS: dict[str, LcmFlavour] = {
    "lcm": LcmFlavour(),
    "animatelcm": LcmFlavour(100),
    "t2v_turbo": LcmFlavour(50, "strided", unguided=0.0),
}


def told_of(flavour: str, scale: float) -> float:
    """What a network that is told its guidance is told of a guidance scale, in the flavour that the
    options name.
    """
    return scale - FLAVOURS.get(flavour, LcmFlavour()).unguided


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
        flavour: whose list of timesteps, a name in FLAVOURS or one made of parts.
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
        if flavour not in FLAVOURS:
            raise ConfigError(
                f"There is no list of few steps {flavour!r}.{did_you_mean(flavour, FLAVOURS)}"
            )
        flavour = FLAVOURS[flavour]
    return (replace(flavour, original=original) if original else flavour).times(schedule, steps)
