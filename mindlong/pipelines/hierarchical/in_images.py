"""The hierarchy by a network that reads the first and the last image of a run
(CogVideoX-Fun-2B-InP): its levels meet in images, as those of interpolation do, and level 0 is made
from the prompt where no key frames are given.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any

from mindlong.config.pipelines import InterpolateConfig
from mindlong.pipelines.checks import idle
from mindlong.pipelines.interpolate import between_plan
from mindlong.pipelines.interpolate.plan import work_of
from mindlong.utils.errors import ConfigError

if TYPE_CHECKING:
    from mindlong.config.load import Loaded
    from mindlong.pipelines.interpolate.plan import Work
    from mindlong.pipelines.planned import Planned

USED = ("lengths", "images", "negative", "alpha_background", "longest")
USUAL = (9, 49)  # frames of a run of each level where nothing says another


def as_interpolation(config: Any) -> InterpolateConfig:
    """The configuration of the levels as stages of interpolation.

    Raises:
        ConfigError: one level alone, or images that are not those of level 0.
    """
    own = config.hierarchical
    lengths = list(own.lengths) or [len(own.images) or USUAL[0], own.longest or USUAL[1]]
    if len(lengths) < 2:
        raise ConfigError(
            f"hierarchical.lengths is {lengths}; the network fills gaps between images, which takes two levels"
        )
    if own.images and len(own.images) != lengths[0]:
        raise ConfigError(
            f"hierarchical.images names {len(own.images)} images; lengths begins with {lengths[0]}"
        )
    shared = {
        f.name: getattr(config, f.name)
        for f in fields(InterpolateConfig)
        if hasattr(config, f.name)
    }
    made = replace(InterpolateConfig(), **shared | {"pipeline": "interpolate"})
    stages = {"factor": 0, "factors": [length - 1 for length in lengths[1:]], "keys": lengths[0]}
    given = {"images": list(own.images), "alpha_background": own.alpha_background}
    made.interpolate = replace(made.interpolate, negative=own.negative, **stages, **given)
    return made


def plan(loaded: Loaded) -> Planned:
    """What a run would make. Raises ConfigError, InputFileError as it would."""
    idle(loaded, _idle(loaded.values.hierarchical))
    made = as_interpolation(loaded.values)
    work = work_of(made)
    rows = {"videos": f"{work.frames} frames at {work.rate:g} frames a second"}
    return between_plan.plan(replace(loaded, values=made), work, rows, (), "hierarchical.lengths")


def _idle(own: Any) -> Iterator[tuple[str, str]]:
    for field in fields(own):
        if field.name not in USED:
            yield (
                f"hierarchical.{field.name}",
                "is not read: the network makes whole runs between two images, and levels meet in these",
            )


def work(config: Any) -> tuple[InterpolateConfig, Work]:
    """The stages, and what they make."""
    made = as_interpolation(config)
    return made, work_of(made)
