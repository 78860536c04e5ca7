"""The one call of a sampler: every pipeline, every preview of a training and every way back of an
inversion goes through `sample`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from mindlong.diffusion.samplers import DdimFlavour, Sampler, readers, sampler
from mindlong.diffusion.samplers.flavours import flavour_of as named_flavour
from mindlong.diffusion.samplers.loop import check_says_x0
from mindlong.diffusion.thresholding import Clip, dynamic_threshold
from mindlong.utils.errors import ConfigError, did_you_mean
from mindlong.utils.log import once

if TYPE_CHECKING:
    from mindlong.diffusion.finite import Row
    from mindlong.diffusion.guidance import Model
    from mindlong.diffusion.noising import Noising
    from mindlong.diffusion.samplers.loop import Callback, Held, Noise, Rule

OPTIONAL = ("eta", "flavour", "spacing", "original")  # keys that not every sampler reads


class Sampling(Protocol):
    """The fields of a configuration's section `sample` that are read here."""

    sampler: str
    steps: int
    eta: float
    flavour: str
    spacing: str
    original: int
    dynamic_threshold: float


@dataclass
class Plain:
    """The same without a configuration."""

    sampler: str = "ddim"
    steps: int = 50
    eta: float = 0.0
    flavour: str = ""
    spacing: str = ""
    dynamic_threshold: float = 0.0
    original: int = 0


def sample(
    options: Sampling,
    model: Model,
    x_T: np.ndarray,
    noising: Noising,
    *,
    noise: Noise | None,
    callback: Callback | None = None,
    held: Held | None = None,
    rows: Sequence[Row] = (),
    pure_noise: bool = True,
) -> np.ndarray:
    """A sample (B, ...) float32 as `options` and the weights' noising process say.

    Args:
        options: the section `sample` of a configuration.
        model: (x, t) -> prediction; guidance is inside.
        x_T: (B, ...) float32 standard normal, or what lies at the last level of `noising`.
        noising: what the network was trained on.
        noise: step index -> fresh noise that broadcasts to x; None for a deterministic sampler
            only.
        callback: callback(step, total, x0) -> stop?, after each prediction.
        held: frames that are known.
        rows: what the rows of the batch are, for sentences.
        pure_noise: `x_T` is nothing but noise; false where it lies at the first level already (an
            inverted or a noised sample).

    Raises:
        ConfigError: options that do not fit the sampler or the network.
        InputFileError: a scheduler_config.json that asks for what the sampler has not.
        NotFiniteError: a prediction or a sample is not finite.
    """
    chosen = sampler_of(options, noising)
    if noise is None and (chosen.needs_noise or options.eta):
        raise ConfigError(f"{chosen.name} adds noise at every step, and no noise was given.")
    return chosen(
        model,
        x_T,
        noising.schedule,
        noise=noise,
        callback=callback,
        prediction=noising.prediction,
        clip=_clip(options, noising, chosen),
        held=held,
        rows=rows,
        pure_noise=pure_noise,
        **_arguments(options, noising, chosen),
    )


def rule_of(options: Sampling, noising: Noising) -> Rule:
    """The timesteps and levels that `sample` will visit."""
    chosen = sampler_of(options, noising)
    _clip(options, noising, chosen)
    rule = chosen.rule(noising.schedule, **_arguments(options, noising, chosen))
    for t, level in zip(rule.times, rule.levels, strict=False):
        check_says_x0(noising.prediction, t, level)
    return rule


def count_steps(options: Sampling, noising: Noising) -> int:
    """How often `sample` will ask the model. Raises as it does."""
    return len(rule_of(options, noising).times)


def sampler_of(options: Sampling, noising: Noising) -> Sampler:
    """The sampler that `options` names, else the one that the weights' scheduler_config.json
    chooses, else ddim.
    """
    file = noising.file
    if options.sampler:
        return sampler(options.sampler)
    if file and noising.sampler not in ("", "ddim"):
        once(f"sampling by {noising.sampler}, as the class {file.name} in {file.where} says")
    if not noising.sampler:
        raise ConfigError(
            f"{file.where if file else 'the noising process'} is of the class {file.name if file else ''}, which is not "
            "here; name another sampler with sample.sampler"
        )
    return sampler(noising.sampler)


def flavour_of(options: Sampling, noising: Noising) -> DdimFlavour:
    """The DDIM that `options` name, else the weights' own; with the spacing of `options`. An
    inversion takes it too, so that the way back visits the same levels.
    """
    named = (
        options.flavour if options.sampler in ("", "ddim") else ""
    )  # else another sampler's word
    made = named_flavour(named or noising.flavour)
    return replace(made, spacing=options.spacing) if options.spacing else made


def _arguments(options: Sampling, noising: Noising, chosen: Sampler) -> dict[str, Any]:
    """What the sampler's rule gets: the file's word, over which goes that of the options."""
    if not options.sampler:
        _refuse_unread(options, noising, chosen)
    own = {} if noising.file is None else noising.file.settings(chosen)
    own |= _own(options, noising, chosen)
    if chosen.own_steps and options.sampler:  # named by the user: every timestep
        return {key: value for key, value in own.items() if key not in ("spacing", "offset")}
    return own | {"steps": options.steps}


def _own(options: Sampling, noising: Noising, chosen: Sampler) -> dict[str, Any]:
    """What the options say to the sampler's rule, beside the number of steps."""
    word = options.flavour
    if word and "flavour" in chosen.keys and word not in chosen.flavours:
        raise ConfigError(
            f"sample.flavour is {word!r}; {chosen.name} has {', '.join(chosen.flavours)}."
            f"{did_you_mean(word, chosen.flavours)}"
        )
    said = {key: getattr(options, key) for key in OPTIONAL if key in chosen.keys}
    given = {key: value for key, value in said.items() if value or key == "eta"}
    if word and "original" in said:  # a list that is named rules over the file's
        given.setdefault("original", 0)
    if chosen.name != "ddim":
        return given
    return {"flavour": flavour_of(options, noising), "eta": options.eta}


def _refuse_unread(options: Sampling, noising: Noising, chosen: Sampler) -> None:
    """A key that the sampler chosen by a file does not read; with a sampler that is named the
    configuration has refused it already.
    """
    for key in OPTIONAL:
        if getattr(options, key) and key not in chosen.keys:
            where = noising.file.where if noising.file else "the noising process"
            raise ConfigError(
                f"sample.{key} is {getattr(options, key)!r}, but sampling is by {chosen.name}, as {where} says, which does "
                f"not read it; it is for sample.sampler={'|'.join(readers(key))}"
            )


def _clip(options: Sampling, noising: Noising, chosen: Sampler) -> Clip | None:
    if not options.dynamic_threshold:
        return noising.clip(chosen)
    if noising.bound is None:
        raise ConfigError(
            f"sample.dynamic_threshold is {options.dynamic_threshold:g}; it is for networks of pixels, latents have no "
            "range to be kept in"
        )
    return dynamic_threshold(options.dynamic_threshold)
