"""What a sampler has to know of a network: the noising process it was trained on, and what its
scheduler_config.json says of sampling.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from mindlong.diffusion import schedules
from mindlong.diffusion.samplers import FLAVOURS, DdimFlavour, Sampler
from mindlong.diffusion.samplers.file_keys import Keys
from mindlong.diffusion.thresholding import Clip, dynamic_threshold, static_threshold
from mindlong.utils.log import once

if TYPE_CHECKING:
    from mindlong.diffusion.schedules import Schedule


@dataclass(frozen=True)
class SchedulerFile:
    """A scheduler_config.json, to be read by the sampler that is chosen.

    Attributes:
        table: its content.
        where: its place.
        process: the keys of it that `Noising` holds already.
    """

    table: Mapping[str, Any]
    where: str
    process: frozenset[str] = frozenset()

    @property
    def name(self) -> str:
        """The class of diffusers that wrote it."""
        return str(self.table.get("_class_name") or "no class")

    def settings(self, sampler: Sampler) -> dict[str, Any]:
        """What it says, as arguments of the sampler's rule. What it says of other samplers is named
        once in the log.

        Raises:
            InputFileError: a value that is not one of its kind, or that this sampler has not.
        """
        keys = Keys(self.table, self.where)
        settings = sampler.from_file(keys)
        keys.asked |= self.process | set(sampler.file_clips)
        unread = keys.unread()
        if unread:
            once(f"{self.where}: {sampler.name} does not use {', '.join(unread)}", logging.WARNING)
        return settings


@dataclass(frozen=True)
class Noising:
    """What a sampler has to know of a network.

    Attributes:
        schedule: the noise levels.
        prediction: what the network predicts: eps, v or x0.
        flavour: the DDIM that belongs to it.
        bound: predicted clean samples are cut to [-bound, bound]; None: they are not (latents).
        quantile: of dynamic thresholding and its largest bound, where a file asks for it.
        sampler: the one used where none is named; "": one must be named.
        file: where the noising process was read from; None: from a configuration.
    """

    schedule: Schedule
    prediction: str = "eps"
    flavour: DdimFlavour = FLAVOURS["mindlong"]
    bound: float | None = None
    quantile: tuple[float, float] | None = None
    sampler: str = "ddim"
    file: SchedulerFile | None = field(default=None, compare=False)

    def first(self, count: int) -> Noising:
        """The same up to that many timesteps."""
        return replace(self, schedule=self.schedule.first(count))

    def below(self, share: float) -> Noising:
        """The same up to that share of the timesteps; from 1 on all of it."""
        return self if share >= 1 else replace(self, schedule=self.schedule.below(share))

    def for_inversion(self) -> Noising:
        """The same for going to the noise and back: by ddim if no sampler is named, and nothing is
        cut off, which could not be undone.
        """
        return replace(self, sampler="ddim", bound=None, quantile=None)

    def clip(self, sampler: Sampler) -> Clip | None:
        """How predicted clean samples are kept in their range. A file's word counts for the
        samplers that have the key; the range of pixels counts for all.
        """
        keys = ("clip_sample", "thresholding") if self.file is None else sampler.file_clips
        if self.quantile is not None and "thresholding" in keys:
            return dynamic_threshold(*self.quantile)
        if self.bound is not None and "clip_sample" in keys:
            return static_threshold(self.bound)
        return None


def of_options(options: Any, bound: float | None = None) -> Noising:
    """The noising process of a training, from the section `diffusion` of its configuration.

    Args:
        bound: 1 for networks of pixels, whose samples lie in [-1, 1]; None for latents.
    """
    return Noising(schedules.of_options(options), options.prediction, bound=bound)
