"""CogVideoX's SDE-DPM-Solver++ (CogVideoXDPMScheduler): of second order from the second step on,
from level to level a stride below, with exact limits where a schedule has no signal.

The original draws two noises in a step of second order and uses the second. Here noise comes from
outside, one array a step: the one that is used.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from mindlong.diffusion.samplers.flavours import DdimFlavour
from mindlong.diffusion.samplers.loop import Move, Rule
from mindlong.diffusion.samplers.spacing import check_times

if TYPE_CHECKING:
    from mindlong.diffusion.samplers.file_keys import Keys
    from mindlong.diffusion.schedules import Level, Schedule


def cogvideox_dpm(
    schedule: Schedule,
    steps: int = 50,
    *,
    spacing: str = "trailing",
    offset: int = 0,
    final: str = "clean",
    times: Sequence[int] | None = None,
) -> Rule:
    """The solver as a rule.

    Args:
        schedule: the noise levels; its last may hold no signal.
        steps: how many.
        spacing, offset: which timesteps are visited.
        final: where a step below timestep 0 leads: the clean sample ("clean") or timestep 0's level
            ("first"). The last step need not go there (7 steps of 1000 end at timestep 0).
        times: timesteps to visit, descending, in place of the list.

    Raises:
        ConfigError: an argument out of its range.
    """
    flavour = DdimFlavour(spacing, offset, "stride", final, rederive_eps=False)
    visited = flavour.times(schedule.timesteps, steps) if times is None else times
    visited = check_times(visited, schedule.timesteps)
    levels = [schedule.level(t) for t in visited]
    after = flavour.after(schedule, visited, steps)
    below = [t < schedule.timesteps // steps for t in visited]

    def update(
        step: int, x: np.ndarray, x0: np.ndarray, eps: np.ndarray, memory: np.ndarray | None
    ) -> Move:
        now, then = levels[step], after[step]
        lasting = odds(now) / odds(then) if then.sigma else 0.0  # exp(-2h)
        clean = x0
        if memory is not None and not below[step]:
            weight = _look_back(levels[step - 1], now, then)
            clean = (1.0 + weight) * x0 - weight * memory
        mean = then.sigma / now.sigma * lasting**0.5 * x + then.signal * (1.0 - lasting) * clean
        return Move(mean, then.sigma * (1.0 - lasting) ** 0.5, x0)

    return Rule(visited, levels, update, rederive_eps=False)


def odds(level: Level) -> float:
    """The signal-to-noise ratio; above 0 noise."""
    return (level.signal / level.sigma) ** 2


def _look_back(before: Level, now: Level, then: Level) -> float:
    """What the clean sample of the step before weighs: half the ratio of the next stretch of the
    clock (half the logarithm of `odds`) to the last one; 0 where that one had no beginning.
    """
    if not odds(before):
        return 0.0
    clock = [0.5 * math.log(odds(level)) for level in (before, now, then)]
    return 0.5 * (clock[2] - clock[1]) / (clock[1] - clock[0])


def from_file(keys: Keys) -> dict[str, Any]:
    """What a scheduler_config.json says of this sampler, in the place of its arguments."""
    final = "clean" if keys.flag("set_alpha_to_one", True) else "first"
    return {"spacing": keys.spacing("leading"), "offset": keys.offset(), "final": final}
