"""Which timesteps a sampler visits when it takes fewer steps than the schedule has."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from mindlong.utils.errors import ConfigError, did_you_mean


def trailing(timesteps: int, steps: int) -> np.ndarray:
    """Evenly from the last timestep downwards (arXiv 2305.08891): starts at pure noise."""
    return np.round(np.arange(steps, 0, -1) * (timesteps / steps)) - 1


def leading(timesteps: int, steps: int) -> np.ndarray:
    """Multiples of timesteps // steps from 0 upwards: what Stable Diffusion's published samplers
    do, with an offset of 1.
    """
    return np.arange(steps)[::-1] * (timesteps // steps)


def linspace(timesteps: int, steps: int) -> np.ndarray:
    """Evenly with both ends, first and last timestep."""
    return np.round(np.linspace(0, timesteps - 1, steps))[::-1]


def quadratic(timesteps: int, steps: int) -> np.ndarray:
    """Proportional to squares (DDIM, arXiv 2010.02502, appendix D.2): denser near the clean end.
    Never twice the same.
    """
    steps_up = np.arange(steps)
    curve = np.floor((timesteps - 1) * (steps_up / max(steps - 1, 1)) ** 2 + 0.5)
    times = np.maximum(curve, steps_up)
    times[-1] = timesteps - 1
    return times[::-1]


def modelscope(timesteps: int, steps: int) -> np.ndarray:
    """ModelScope's and VideoCrafter2's list: 1 + multiples of the stride, every one below T. If
    `steps` does not divide T this has
    more entries than asked (30 gives 31, 7 gives 8 of 1000)."""
    return np.minimum(1 + np.arange(0, timesteps, timesteps // steps), timesteps - 1)[::-1]


SPACINGS: dict[str, Callable[[int, int], np.ndarray]] = {
    "trailing": trailing,
    "leading": leading,
    "linspace": linspace,
    "quadratic": quadratic,
    "modelscope": modelscope,
}


def times_of(spacing: str, timesteps: int, steps: int, offset: int = 0) -> list[int]:
    """The timesteps to visit, descending. `offset` is added to each (cut off at the last
    timestep).
    """
    if spacing not in SPACINGS:
        raise ConfigError(
            f"There is no timestep spacing {spacing!r}.{did_you_mean(spacing, SPACINGS)}"
        )
    check_steps(timesteps, steps)
    times = np.clip(SPACINGS[spacing](timesteps, steps) + offset, 0, timesteps - 1)
    return [int(t) for t in times]


def with_end_dropped(spacing: str, timesteps: int, steps: int, offset: int = 0) -> list[int]:
    """DPM-Solver's lists: linspace and leading are made one step longer and lose their lowest
    entry, trailing is kept whole.
    """
    if spacing not in ("linspace", "leading"):
        return times_of(spacing, timesteps, steps, offset)
    check_steps(timesteps, steps)
    times = np.clip(SPACINGS[spacing](timesteps, steps + 1)[:-1] + offset, 0, timesteps - 1)
    return [int(t) for t in times]


def check_steps(timesteps: int, steps: int) -> None:
    """ConfigError unless 1 <= steps <= timesteps."""
    if not 1 <= steps <= timesteps:
        raise ConfigError(
            f"steps is {steps}; a schedule of {timesteps} timesteps can be sampled in 1 to {timesteps} steps."
        )


def check_times(times: Sequence[int], timesteps: int) -> list[int]:
    """`times` as a list, if it is a non-empty descending list of timesteps (ConfigError else)."""
    times = [int(t) for t in times]
    if (
        not times
        or times[0] >= timesteps
        or times[-1] < 0
        or any(b > a for a, b in zip(times, times[1:], strict=False))
    ):
        raise ConfigError(
            f"times must be descending timesteps between {timesteps - 1} and 0; it is {times[:8]}."
        )
    return times
