"""DDIM (arXiv 2010.02502), in the flavours that published systems use."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from mindlong.diffusion.samplers.flavours import DdimFlavour, flavour_of
from mindlong.diffusion.samplers.loop import Move, Rule
from mindlong.diffusion.samplers.spacing import check_times
from mindlong.utils.errors import ConfigError

if TYPE_CHECKING:
    from mindlong.diffusion.samplers.file_keys import Keys
    from mindlong.diffusion.schedules import Level, Schedule


def ddim(
    schedule: Schedule,
    steps: int = 50,
    *,
    eta: float = 0.0,
    flavour: str | DdimFlavour = "mindlong",
    times: Sequence[int] | None = None,
) -> Rule:
    """DDIM as a rule, for any number of steps from 1 to T.

    Args:
        schedule: VideoCrafter2's dynamic scale is a property of it (`with_signal_scale`).
        steps: entries of the list of timesteps.
        eta: 0 is deterministic, 1 adds as much noise as DDPM.
        flavour: a name in FLAVOURS, or one made of parts.
        times: timesteps to visit, descending, in place of the list.

    Raises:
        ConfigError: an argument out of its range.
    """
    if not 0 <= eta <= 1:
        raise ConfigError(f"eta is {eta}; it must be between 0 (deterministic) and 1 (as DDPM).")
    flavour = flavour_of(flavour)
    visited = flavour.times(schedule.timesteps, steps) if times is None else times
    visited = check_times(visited, schedule.timesteps)
    levels, after = (
        [schedule.level(t) for t in visited],
        flavour.after(schedule, visited, steps),
    )

    def update(
        step: int, x: np.ndarray, x0: np.ndarray, eps: np.ndarray, memory: np.ndarray | None
    ) -> Move:
        spread = eta * spread_of(levels[step], after[step])
        return Move(move(x0, eps, after[step], spread), spread)

    return Rule(visited, levels, update, rederive_eps=flavour.rederive_eps)


def from_file(keys: Keys) -> dict[str, Any]:
    """What a scheduler_config.json says of this sampler, in the place of `ddim`'s arguments."""
    final = "clean" if keys.flag("set_alpha_to_one", True) else "first"
    spacing, offset = keys.spacing("leading"), keys.offset()
    return {"flavour": DdimFlavour(spacing, offset, "stride", final, rederive_eps=False)}


def move(x0: np.ndarray, eps: np.ndarray, level: Level, spread: float = 0.0) -> np.ndarray:
    """The sample at `level` on the line from x0 to eps, leaving room for fresh noise of deviation
    `spread`.
    """
    return level.signal * x0 + max(level.sigma**2 - spread**2, 0.0) ** 0.5 * eps


def spread_of(level: Level, after: Level) -> float:
    """The deviation of the noise that DDPM would add in the step from `level` to `after` (eq. 16
    with eta 1).
    """
    kept = (level.alpha / after.alpha) ** 2
    return max((after.sigma / level.sigma) ** 2 * (1.0 - kept), 0.0) ** 0.5
