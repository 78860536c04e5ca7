"""The noising process of a published model, as diffusers' scheduler_config.json describes it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from mindlong.diffusion.samplers.ddim import FLAVOURS, DdimFlavour
from mindlong.diffusion.samplers.spacing import SPACINGS
from mindlong.diffusion.schedules import (
    Schedule,
    cosine,
    linear,
    scaled_linear,
    zero_terminal_snr,
)
from mindlong.utils.errors import InputFileError, did_you_mean

PREDICTIONS = {"epsilon": "eps", "v_prediction": "v", "sample": "x0"}
BETAS = ("linear", "scaled_linear", "squaredcos_cap_v2")


@dataclass(frozen=True)
class Noising:
    """What a sampler has to know of a network.

    Attributes:
        schedule: the noise levels.
        prediction: what the network predicts: eps, v or x0.
        flavour: the DDIM that belongs to it.
        bound: predicted clean samples are cut to [-bound, bound]; None: they are not (latents).
    """

    schedule: Schedule
    prediction: str = "eps"
    flavour: DdimFlavour = FLAVOURS["mindlong"]
    bound: float | None = None

    def below(self, share: float) -> Noising:
        """The same up to that share of the timesteps; from 1 on all of it."""
        return self if share >= 1 else replace(self, schedule=self.schedule.below(share))


def read(config: Mapping[str, Any], where: str) -> Noising:
    """The noising process that a scheduler_config.json describes; keys it lacks have diffusers'
    DDIMScheduler defaults.

    Raises:
        InputFileError: a word or a number that is not one of its kind; the sentence names the key.
    """
    config = dict(config)
    prediction = _word(config, "prediction_type", "epsilon", PREDICTIONS, where)
    spacing = _word(config, "timestep_spacing", "leading", SPACINGS, where)
    flavour = DdimFlavour(
        spacing,
        _whole(config, "steps_offset", 0, where) if spacing == "leading" else 0,
        "stride",
        "clean" if config.get("set_alpha_to_one", True) else "first",
        rederive_eps=False,
    )
    bound = (
        _number(config, "clip_sample_range", 1.0, where)
        if config.get("clip_sample", True)
        else None
    )
    return Noising(_schedule(config, where), PREDICTIONS[prediction], flavour, bound)


def _schedule(config: Mapping[str, Any], where: str) -> Schedule:
    if config.get("trained_betas") is not None:
        made = Schedule(np.asarray(config["trained_betas"], np.float64))
    else:
        count = _whole(config, "num_train_timesteps", 1000, where)
        start, end = (
            _number(config, "beta_start", 1e-4, where),
            _number(config, "beta_end", 2e-2, where),
        )
        word = _word(config, "beta_schedule", "linear", BETAS, where)
        made = (
            cosine(count)
            if word == "squaredcos_cap_v2"
            else {"linear": linear, "scaled_linear": scaled_linear}[word](count, start, end)
        )
    return zero_terminal_snr(made) if config.get("rescale_betas_zero_snr") else made


def _word(config: Mapping[str, Any], key: str, usual_word: str, known: Any, where: str) -> str:
    word = config.get(key, usual_word)
    if word not in known:
        raise InputFileError(f"{where}: {key} is {word!r}.{did_you_mean(str(word), known)}")
    return word


def _number(config: Mapping[str, Any], key: str, usual_number: float, where: str) -> float:
    number = config.get(key, usual_number)
    if isinstance(number, bool) or not isinstance(number, int | float):
        raise InputFileError(f"{where}: {key} is {number!r}; it must be a number")
    return number


def _whole(config: Mapping[str, Any], key: str, usual_number: int, where: str) -> int:
    number = _number(config, key, usual_number, where)
    if number != int(number) or number < 0:
        raise InputFileError(f"{where}: {key} is {number!r}; it must be a whole number, 0 or more")
    return int(number)
