"""Which timesteps a sampler visits when it takes fewer steps than the schedule has."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from mindlong.utils.errors import ConfigError, did_you_mean


def trailing(timesteps: int, steps: int) -> np.ndarray:
    """Evenly from the last timestep downwards (arXiv 2305.08891): starts at pure noise.

    Halves are rounded as the published samplers round them, whose list is added up from the top;
    for some numbers of steps (61, 103, 121, ...) they get one entry more, below 0.
    """
    stride = timesteps / steps
    return np.round(np.arange(timesteps, 0, -stride))[:steps] - 1


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
    `steps` does not divide T this has more entries than asked (30 gives 31, 7 gives 8 of 1000).
    """
    return np.minimum(1 + np.arange(0, timesteps, timesteps // steps), timesteps - 1)[::-1]


SPACINGS: dict[str, Callable[[int, int], np.ndarray]] = {
    "trailing": trailing,
    "leading": leading,
    "linspace": linspace,
    "quadratic": quadratic,
    "modelscope": modelscope,
}


def spacing_of(name: str) -> Callable[[int, int], np.ndarray]:
    """The spacing called `name` (ConfigError where there is none)."""
    if name not in SPACINGS:
        raise ConfigError(f"There is no timestep spacing {name!r}.{did_you_mean(name, SPACINGS)}")
    return SPACINGS[name]


def times_of(spacing: str, timesteps: int, steps: int, offset: int = 0) -> list[int]:
    """The timesteps to visit, descending. `offset` is added to each (cut off at the last
    timestep).
    """
    spread = spacing_of(spacing)
    check_steps(timesteps, steps)
    _check_offset(timesteps, steps, offset)
    return _whole(spread(timesteps, steps), offset, timesteps)


def with_end_dropped(
    spacing: str, timesteps: int, steps: int, offset: int = 0, below: int | None = None
) -> list[int]:
    """DPM-Solver's lists: linspace and leading are made one step longer and lose their lowest
    entry, trailing is kept whole.

    Args:
        offset: leading's.
        below: only the timesteps below this one are visited; with trailing their distance stays, so
            that there are fewer of them.
    """
    spread, top = spacing_of(spacing), timesteps if below is None else below
    check_steps(timesteps, steps)
    _check_offset(timesteps, steps, offset if spacing == "leading" else 0)
    if spacing in ("linspace", "leading"):
        times = spread(top, steps + 1)[:-1] + (offset if spacing == "leading" else 0)
    elif spacing == "trailing":
        times = np.round(np.arange(top, 0, -timesteps / steps))[:steps] - 1
    else:
        times = spread(top, steps)
    return _distinct(spacing, _whole(times, 0, timesteps))


def check_steps(timesteps: int, steps: int) -> None:
    """ConfigError unless 1 <= steps <= timesteps."""
    if not 1 <= steps <= timesteps:
        raise ConfigError(
            f"steps is {steps}; a schedule of {timesteps} timesteps can be sampled in 1 to {timesteps} steps."
        )


def _check_offset(timesteps: int, steps: int, offset: int) -> None:
    """ConfigError where an offset moves more than one timestep to the last or beyond."""
    distance = timesteps // steps
    if offset > max(distance, 1):
        raise ConfigError(
            f"steps_offset is {offset}; with {steps} steps of {timesteps} timesteps they lie {distance} apart, and it "
            "moves several of them beyond the last"
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


def _whole(times: np.ndarray, offset: int, timesteps: int) -> list[int]:
    return [int(t) for t in np.clip(times + offset, 0, timesteps - 1)]


def _distinct(spacing: str, times: list[int]) -> list[int]:
    """A multistep solver divides by the distance of its levels."""
    if len(set(times)) < len(times):
        raise ConfigError(
            f"The spacing {spacing} visits a timestep twice in {len(times)} steps; take fewer steps."
        )
    return times
