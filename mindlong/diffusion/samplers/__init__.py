"""Samplers: from noise to a sample. Each is a `Sampler`, one description; all are called alike.

    sampler(NAME)(model, x_T, schedule, steps, noise=None, callback=None, prediction="eps",
    clip=None, **own)

- `model(x, t) -> prediction`: (B, ...) float32 and (B,) int32 timesteps in (float32 where they are
  fractions), (B, ...) out. Guidance wraps it (diffusion/guidance.py).
- `x_T`: (B, ...) float32, standard normal (or whatever a `times` that starts later expects).
- `noise(step_index) -> array`: broadcastable to x; index 0 is the first, noisiest step. Asked only
  where a step adds noise, so a tape of one array per step replays alike whether or not an original
  draws noise it then throws away.
- `callback(step, total, x0) -> stop?`: after each model call, step from 1; true ends the run, which
  then returns this x0.
- `clip(x0) -> x0`: thresholding of each predicted clean sample (diffusion/thresholding.py).
- `own`: arguments of the sampler's rule, for example `times` (timesteps to visit, descending).

Pipelines, previews and tools call none of them: they call `mindlong.diffusion.sample.sample`, which
works out from a configuration and the weights' noising process what to call.

Coefficients are float64, arrays stay float32. Errors: ConfigError, NotFiniteError.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from mindlong.diffusion.samplers.flavours import FLAVOURS, LCM_FLAVOURS, DdimFlavour
from mindlong.diffusion.samplers.loop import Callback, Denoiser, Held, Noise, Rule, walk
from mindlong.utils.errors import ConfigError, did_you_mean

if TYPE_CHECKING:
    from mindlong.diffusion.finite import Row
    from mindlong.diffusion.guidance import Model
    from mindlong.diffusion.samplers.file_keys import Keys
    from mindlong.diffusion.schedules import Schedule
    from mindlong.diffusion.thresholding import Clip


@dataclass(frozen=True)
class Sampler:
    """Everything that the rest of the house has to know of a sampler.

    Attributes:
        name: the word for `sample.sampler`.
        rules: "module:function" of this package, imported when it is asked for: (schedule, steps,
            **own) -> Rule.
        reads: the same of what the keys of a scheduler_config.json say, as arguments of the rule.
        keys: the keys of the section `sample` that it reads, beside sampler and steps.
        needs_noise: it adds noise at every step.
        own_steps: where the user names it, it visits every timestep, whatever steps and spacing
            say; where a scheduler_config.json chose it, it takes them.
        flavours: the words for `sample.flavour`, where it has that key.
        told_prediction: its rule is told what the network predicts.
        file_clips: the keys of a scheduler_config.json by which its class of diffusers keeps clean
            samples in their range.
    """

    name: str
    rules: str
    reads: str
    keys: tuple[str, ...] = ("spacing",)
    needs_noise: bool = False
    own_steps: bool = False
    flavours: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    told_prediction: bool = False
    file_clips: tuple[str, ...] = ()

    @property
    def rule(self) -> Callable[..., Rule]:
        """(schedule, steps, **own) -> Rule."""
        return _found(self.rules)

    @property
    def from_file(self) -> Callable[[Keys], dict[str, Any]]:
        """What the keys of a scheduler_config.json say, as arguments of `rule`."""
        return _found(self.reads)

    def __call__(
        self,
        model: Model,
        x_T: np.ndarray,
        schedule: Schedule,
        steps: int | None = None,
        *,
        noise: Noise | None = None,
        callback: Callback | None = None,
        prediction: str = "eps",
        clip: Clip | None = None,
        held: Held | None = None,
        rows: Sequence[Row] = (),
        pure_noise: bool = True,
        **own: Any,
    ) -> np.ndarray:
        """A sample (B, ...) float32; arguments as in this module's head.

        Args:
            steps: None is the rule's own number.
            held: frames that are known.
            rows: what the rows are, for sentences.
            pure_noise: `x_T` is nothing but noise, which Euler scales to its first level; else it
                lies at that level already.
        """
        own |= {"prediction": prediction} if self.told_prediction else {}
        rule = self.rule(schedule, **({} if steps is None else {"steps": steps}), **own)
        rule = rule if pure_noise else replace(rule, start=1.0)
        denoiser = Denoiser(model, prediction, clip, rule.rederive_eps, held, rows)
        return walk(denoiser, x_T, rule, noise, callback)


def _found(named: str) -> Any:
    """What "module:function" names; its module is imported now."""
    module, _, name = named.partition(":")
    return getattr(importlib.import_module(f"mindlong.diffusion.samplers.{module}"), name)


BOTH = ("clip_sample", "thresholding")
SAMPLERS: dict[str, Sampler] = {
    sampler.name: sampler
    for sampler in (
        Sampler(
            "ddim",
            "ddim:ddim",
            "ddim:from_file",
            keys=("eta", "flavour", "spacing"),
            flavours=FLAVOURS,
            file_clips=BOTH,
        ),
        Sampler(
            "ddpm",
            "ddpm:ddpm",
            "ddpm:from_file",
            needs_noise=True,
            own_steps=True,
            file_clips=BOTH,
        ),
        Sampler(
            "dpm_solver",
            "dpm_solver:dpm_solver",
            "dpm_solver:from_file",
            file_clips=("thresholding",),
        ),
        Sampler(
            "dpm_solver_sde",
            "dpm_solver:dpm_solver_sde",
            "dpm_solver:from_file",
            needs_noise=True,
            file_clips=("thresholding",),
        ),
        Sampler(
            "cogvideox_dpm",
            "cogvideox_dpm:cogvideox_dpm",
            "cogvideox_dpm:from_file",
            needs_noise=True,
        ),
        Sampler("euler", "euler:euler", "euler:from_file"),
        Sampler(
            "euler_ancestral",
            "euler:euler_ancestral",
            "euler:ancestral_from_file",
            needs_noise=True,
        ),
        Sampler("heun", "heun:heun", "grid:from_file", file_clips=("clip_sample",)),
        Sampler("lms", "heun:lms", "grid:from_file"),
        Sampler("kdpm2", "kdpm2:kdpm2", "kdpm2:from_file"),
        Sampler("kdpm2_ancestral", "kdpm2:kdpm2_ancestral", "kdpm2:from_file", needs_noise=True),
        Sampler("deis", "deis:deis", "deis:from_file", file_clips=("thresholding",)),
        Sampler("pndm", "pndm:pndm", "pndm:from_file", told_prediction=True),
        Sampler("unipc", "unipc:unipc", "unipc:from_file", file_clips=("thresholding",)),
        Sampler(
            "lcm",
            "lcm:lcm",
            "lcm:from_file",
            keys=("flavour", "original"),
            needs_noise=True,
            flavours=LCM_FLAVOURS,
            file_clips=BOTH,
        ),
        Sampler(
            "tcd",
            "lcm:tcd",
            "lcm:tcd_from_file",
            keys=("eta", "flavour", "original"),
            flavours=LCM_FLAVOURS,
        ),
    )
}


def sampler(name: str) -> Sampler:
    """The sampler called `name`."""
    if name not in SAMPLERS:
        raise ConfigError(f"There is no sampler {name!r}.{did_you_mean(name, SAMPLERS)}")
    return SAMPLERS[name]


def readers(key: str) -> list[str]:
    """The samplers that read a key of the section `sample`."""
    return [name for name, each in SAMPLERS.items() if key in each.keys]


__all__ = ["FLAVOURS", "SAMPLERS", "DdimFlavour", "Sampler", "readers", "sampler"]
