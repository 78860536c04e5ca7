"""A published model's noising process from its scheduler_config.json, as diffusers writes it.

What the file says is followed or refused by name. Keys of the noising process (betas, prediction,
SNR) hold for every sampler and are read here; keys of sampling are read by the sampler that is
chosen (`from_file` in mindlong/diffusion/samplers), with the defaults of its class of diffusers, as
`Class.from_config` there does.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mindlong.diffusion.noising import Noising, SchedulerFile
from mindlong.diffusion.samplers import ddim
from mindlong.diffusion.samplers.dpm_solver import ALGORITHMS, algorithm_of
from mindlong.diffusion.samplers.file_keys import Keys
from mindlong.diffusion.schedules import (
    Schedule,
    cosine,
    linear,
    of_curve,
    scaled_linear,
    snr_shifted,
    zero_terminal_snr,
)
from mindlong.utils.errors import ConfigError, InputFileError, did_you_mean
from mindlong.utils.log import once
from mindlong.utils.text_file import read_text

PREDICTIONS = {
    "epsilon": "eps",
    "v_prediction": "v",
    "sample": "x0",
    "original_sample": "x0",
}
# Which of our samplers stands for which class.
OURS = {
    "DDIMScheduler": "ddim",
    "DDIMParallelScheduler": "ddim",
    "DDIMInverseScheduler": "ddim",
    "CogVideoXDDIMScheduler": "ddim",
    "CogVideoXDPMScheduler": "cogvideox_dpm",
    "DDPMScheduler": "ddpm",
    "DDPMParallelScheduler": "ddpm",
    "DPMSolverMultistepScheduler": "dpm_solver",  # or dpm_solver_sde, see ALGORITHMS
    "EulerDiscreteScheduler": "euler",
    "EulerAncestralDiscreteScheduler": "euler_ancestral",
    "HeunDiscreteScheduler": "heun",
    "LMSDiscreteScheduler": "lms",
    "KDPM2DiscreteScheduler": "kdpm2",
    "KDPM2AncestralDiscreteScheduler": "kdpm2_ancestral",
    "DEISMultistepScheduler": "deis",
    "PNDMScheduler": "pndm",
    "UniPCMultistepScheduler": "unipc",
    "LCMScheduler": "lcm",
    "TCDScheduler": "tcd",
}
# The same noising process, solved in a way that is not here: a sampler must be named.
UNSERVED = (
    "DPMSolverMultistepInverseScheduler",
    "DPMSolverSDEScheduler",
    "DPMSolverSinglestepScheduler",
    "SASolverScheduler",
)
CLIPPING = (
    "",
    "DDIMScheduler",
    "DDIMParallelScheduler",
    "DDIMInverseScheduler",
    "DDPMScheduler",
    "DDPMParallelScheduler",
    "HeunDiscreteScheduler",
    "LCMScheduler",
    "TCDScheduler",
)
FLOW = ("use_flow_sigmas", "use_dynamic_shifting", "invert_sigmas", "stochastic_sampling")


def read(config: Mapping[str, Any], where: str) -> Noising:
    """The noising process that a scheduler_config.json describes.

    Clean samples are cut to a range only where a class that can do so says clip_sample (or
    thresholding) in so many words: latents have no range.

    Args:
        config: the file's table.
        where: its place, for sentences.

    Raises:
        InputFileError: a class or a value that is not known or not supported; the sentence names
            the key.
    """
    keys = Keys(config, where)
    kind = _class(keys)
    schedule = _schedule(keys, kind)
    prediction = _prediction(keys)
    process = frozenset(keys.asked)
    flavour = ddim.from_file(keys)["flavour"]
    bound, quantile = _clipping(keys, kind)
    file = SchedulerFile(dict(config), where, process)
    return Noising(schedule, prediction, flavour, bound, quantile, _sampler(keys, kind), file)


def read_file(place: str | Path) -> Noising:
    """`read` of a scheduler_config.json, or of the one in a folder.

    Raises:
        InputFileError: no such file, no JSON, or as `read`.
    """
    path = Path(place)
    path = path / "scheduler_config.json" if path.is_dir() else path
    try:
        content = json.loads(read_text(path))
    except (OSError, ValueError, RecursionError) as error:
        raise InputFileError(f"{path} is not a readable scheduler_config.json ({error})") from None
    if not isinstance(content, dict):
        raise InputFileError(
            f"{path} holds a {type(content).__name__}; a scheduler_config.json is a table"
        )
    return read(content, str(path))


def _class(keys: Keys) -> str:
    """The class's name without a prefix; "" where there is none. Refuses other processes."""
    name = keys.get("_class_name", "")
    if not isinstance(name, str):
        keys.refuse(f"_class_name is {name!r}; it must be a name")
    name = name.removeprefix("Flax")
    known = (*OURS, *UNSERVED)
    if name and name not in known:
        kind = "flow matching" if "Flow" in name else "a noising process"
        keys.refuse(
            f"_class_name is {name}: {kind} that is not supported.{did_you_mean(name, known)}"
        )
    for key in FLOW:
        if keys.flag(key, False):
            keys.refuse(f"{key} is true: flow matching is not supported")
    return name


def _sampler(keys: Keys, kind: str) -> str:
    """The sampler used where none is named; "" where one must be."""
    if kind in UNSERVED:
        return ""
    if kind == "DPMSolverMultistepScheduler":
        return ALGORITHMS.get(algorithm_of(keys), "dpm_solver")
    return OURS.get(kind, "ddim")


def _prediction(keys: Keys) -> str:
    word = keys.get("prediction_type", "epsilon")
    if word == "flow_prediction":
        keys.refuse("prediction_type is 'flow_prediction': flow matching is not supported")
    return PREDICTIONS[keys.word("prediction_type", "epsilon", PREDICTIONS)]


def _clipping(keys: Keys, kind: str) -> tuple[float | None, tuple[float, float] | None]:
    clips = keys.flag("clip_sample", False) and kind in CLIPPING
    bound = keys.number("clip_sample_range", 1.0, minimum=0) if clips else None
    quantile = None
    if keys.flag("thresholding", False):
        ratio = keys.number("dynamic_thresholding_ratio", 0.995, minimum=0)
        largest = keys.number("sample_max_value", 1.0, minimum=0)
        if not 0 < ratio <= 1:
            keys.refuse(f"dynamic_thresholding_ratio is {ratio:g}; it must be above 0, at most 1")
        quantile = ratio, largest
    if bound is not None or quantile is not None:
        key = "clip_sample" if quantile is None else "thresholding"
        once(f"{keys.where}: {key} is true, so predicted clean samples are kept in a range")
    return bound, quantile


def _schedule(keys: Keys, kind: str) -> Schedule:
    cog = kind.startswith("CogVideoX")
    try:
        made = _betas(keys, cog)
        shift = keys.number("snr_shift_scale", 3.0 if cog else 1.0)
        if shift != 1.0:
            made = snr_shifted(made, shift)
        return zero_terminal_snr(made) if keys.flag("rescale_betas_zero_snr", False) else made
    except ConfigError as error:
        raise InputFileError(f"{keys.where}: {error}") from None


def _betas(keys: Keys, cog: bool) -> Schedule:
    count = keys.whole("num_train_timesteps", 1000)
    start = keys.number("beta_start", 0.00085 if cog else 1e-4, minimum=0)
    end = keys.number("beta_end", 0.012 if cog else 2e-2, minimum=0)
    usual = "scaled_linear" if cog else "linear"
    word = keys.word("beta_schedule", usual, BETAS)
    given = keys.get("trained_betas", None)
    return BETAS[word](count, start, end) if given is None else _trained(keys, given, count)


def _trained(keys: Keys, given: Any, count: int) -> Schedule:
    try:
        betas = np.asarray(given, np.float64)
    except (TypeError, ValueError):
        betas = np.zeros(0)
    if betas.ndim != 1 or not len(betas):
        keys.refuse("trained_betas is no list of numbers")
    if "num_train_timesteps" in keys.table and len(betas) != count:
        keys.refuse(f"trained_betas has {len(betas)} numbers and num_train_timesteps is {count}")
    return Schedule(betas)


def _sigmoid(count: int, start: float, end: float) -> Schedule:
    return Schedule((end - start) / (1.0 + np.exp(-np.linspace(-6.0, 6.0, count))) + start)


def _laplace(position: np.ndarray) -> np.ndarray:
    away = 0.5 - position
    half = -0.5 * np.copysign(1.0, away) * np.log(1.0 - 2.0 * np.abs(away) + 1e-6)
    return np.sqrt(1.0 / (1.0 + np.exp(-half)))


BETAS: dict[str, Callable[[int, float, float], Schedule]] = {
    "linear": linear,
    "scaled_linear": scaled_linear,
    "squaredcos_cap_v2": lambda count, start, end: cosine(count, largest=0.999),
    "sigmoid": _sigmoid,
    "laplace": lambda count, start, end: of_curve(_laplace, count),
    "exp": lambda count, start, end: of_curve(lambda at: np.exp(-12.0 * at), count),
}
