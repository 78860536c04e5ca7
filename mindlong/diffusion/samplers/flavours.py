"""What published systems that use one sampler disagree on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from mindlong.diffusion.samplers.spacing import times_of
from mindlong.diffusion.schedules import CLEAN, Level, Schedule
from mindlong.utils.errors import ConfigError, did_you_mean


@dataclass(frozen=True)
class DdimFlavour:
    """What published DDIM samplers disagree on.

    `offset` is added to each timestep with the spacing "leading". `previous`: a step leads to the
    next timestep of the list ("next") or T // steps below ("stride"; differs if steps does not
    divide T). `final`: the last step ends in the clean sample ("clean"), at timestep 0 ("first"),
    or there with the factor on the clean sample that the lowest timestep visited has
    ("first_scaled": a factor that DynamiCrafter never takes off again).
    """

    spacing: str = "trailing"
    offset: int = 0
    previous: str = "next"
    final: str = "clean"
    rederive_eps: bool = True

    def times(self, timesteps: int, steps: int) -> list[int]:
        """The timesteps visited, descending."""
        offset = self.offset if self.spacing == "leading" else 0
        return times_of(self.spacing, timesteps, steps, offset)

    def after(self, schedule: Schedule, times: Sequence[int], steps: int) -> list[Level]:
        """The level that each step leads to."""
        lower = list(times[1:]) + [-1]
        if self.previous == "stride":
            lower = [t - schedule.timesteps // steps for t in times]
        last = CLEAN if self.final == "clean" else schedule.level(0)
        if self.final == "first_scaled":
            last = replace(last, signal_scale=schedule.level(times[-1]).signal_scale)
        return [schedule.level(t) if t >= 0 else last for t in lower]


FLAVOURS: dict[str, DdimFlavour] = {
    "mindlong": DdimFlavour(),
    "diffusers": DdimFlavour(
        "leading", 1, "stride", "first", rederive_eps=False
    ),  # as Stable Diffusion's scheduler_config.json
    "animatediff": DdimFlavour("leading", 1, "stride", "clean", rederive_eps=False),
    "modelscope": DdimFlavour("modelscope", 0, "next", "first", rederive_eps=False),
    "videocrafter": DdimFlavour(
        "modelscope", 0, "next", "first", rederive_eps=False
    ),  # on a schedule with_signal_scale
    "dynamicrafter": DdimFlavour("trailing", 0, "next", "first_scaled", rederive_eps=False),
}


def flavour_of(flavour: str | DdimFlavour) -> DdimFlavour:
    """A flavour by name, or the one given."""
    if isinstance(flavour, DdimFlavour):
        return flavour
    if flavour not in FLAVOURS:
        raise ConfigError(f"There is no DDIM flavour {flavour!r}.{did_you_mean(flavour, FLAVOURS)}")
    return FLAVOURS[flavour]


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


LCM_FLAVOURS: dict[str, LcmFlavour] = {
    "lcm": LcmFlavour(),
    "animatelcm": LcmFlavour(100),
    "t2v_turbo": LcmFlavour(50, "strided", unguided=0.0),
}


def told_of(flavour: str, scale: float) -> float:
    """What a network that is told its guidance is told of a guidance scale, in the flavour that the
    options name.
    """
    return scale - LCM_FLAVOURS.get(flavour, LcmFlavour()).unguided
