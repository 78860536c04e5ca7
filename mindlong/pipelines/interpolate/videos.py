"""The videos of an interpolation: chains by networks, or frames filled in without any.

Legend: F frames, K key frames, C channels, h w latent pixels.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from mindlong.data.agreement import with_flow
from mindlong.data.flow import fill_between, method
from mindlong.data.transforms import fitted
from mindlong.pipelines.interpolate.between_plan import reads_both_ends
from mindlong.pipelines.interpolate.first_level import KeyFrames
from mindlong.pipelines.interpolate.make import Stage, chain_of, decoded, run_chain
from mindlong.pipelines.interpolate.networks import Networks
from mindlong.pipelines.interpolate.plan import Work, work_of
from mindlong.pipelines.latents import LatentMemory, Latents
from mindlong.pipelines.made import Made
from mindlong.pipelines.one_prompt import shown_of
from mindlong.pipelines.results import wanted
from mindlong.utils.errors import ConfigError

if TYPE_CHECKING:
    from mindlong.diffusion.samplers.loop import Callback
    from mindlong.parallel.comm import Comm
    from mindlong.pipelines.latent_model import LatentModel
    from mindlong.pipelines.models import Models
    from mindlong.plans.chain import Chain
    from mindlong.plans.hierarchy import LongPlan


@dataclass(frozen=True)
class Chained:
    """One video of a chain.

    Attributes:
        chain, plan, stages: as `chain_of` takes and gives them.
        keys: the work of level 0.
        shape: (C, K, h, w) of the key frames.
        number: of the video among those of one seed.
    """

    config: Any
    work: Work
    chain: Chain
    plan: LongPlan
    stages: list[Stage]
    keys: KeyFrames
    shape: tuple[int, ...]
    number: int

    def levels(self, latents: Latents, comm: Comm | None = None) -> Iterator[int]:
        """Make what is not in `latents` yet; yields each level's number when it is there."""
        return run_chain(
            self.chain,
            self.stages,
            self.keys,
            latents,
            (self.shape[0], *self.shape[2:]),
            fps=self.work.rate,
            seed=self.config.seed,
            number=self.number,
            rows=self.config.batch,
            comm=comm,
        )


def model_of(config: Any, networks: Networks) -> LatentModel:
    """The model of the last stage, which decodes."""
    return networks.model((config.interpolate.stage_weights or [config.weights])[-1])


def chained(
    config: Any,
    work: Work,
    networks: Networks,
    prompt: str,
    number: int,
    callback: Callback | None,
) -> Chained:
    """The chain of video `number`. Raises ConfigError, InputFileError."""
    shown = shown_of(config.interpolate.scenes, prompt, work.frames, "interpolate.scenes")
    stages = networks.stages(shown, callback)
    chain, plan = chain_of(work.chain, stages)
    shape = _latent_shape(config, work, model_of(config, networks))
    keys = KeyFrames(config, work, networks, shown, number, shape, callback)
    return Chained(config, work, chain, plan, stages, keys, shape, number)


def filled(config: Any, work: Work) -> Iterator[np.ndarray]:
    """Without a network: frames go from the reader to whoever asks, two key frames in memory."""
    o = config.interpolate
    keys = _sized(work.source.all(), config.size)
    made = fill_between(keys, prod(o.stages()), method(o.method))
    return itertools.islice(made, work.frames)


def detailed(config: Any, work: Work, frames: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
    """A network's frames, with flow's pixels where that is asked for."""
    o = config.interpolate
    if o.detail == "network" or not work.source:
        return frames
    return with_flow(frames, _sized(work.source.all(), config.size), prod(o.stages()))


def make(models: Models, config: Any, callback: Callback | None = None) -> Iterator[Made]:
    """The videos of a configuration, each when it is asked for.

    Raises:
        ConfigError, InputFileError, NotFiniteError.
    """
    work = work_of(config)
    if config.interpolate.method != "diffusion":
        yield Made("", 0, filled(config, work), work.frames, work.rate)
        return
    if config.weights and reads_both_ends(config):
        raise ConfigError(
            "these weights read both ends of a run; frames between images are made with them by infer.py "
            "pipeline=interpolate, not by a call"
        )
    networks = Networks(config, models)
    model = model_of(config, networks)
    for number, prompt in enumerate(wanted(config)):
        one = chained(config, work, networks, prompt, number, callback)
        latents = LatentMemory(one.plan)
        for _ in one.levels(latents):
            pass
        yield Made(
            prompt,
            number,
            detailed(config, work, decoded(model, latents)),
            work.frames,
            work.rate,
            lambda held=latents: held.frames(range(held.plan.frames)).transpose(1, 0, 2, 3),
        )
    if work.source:
        work.source.close()


def _sized(frames: Iterator[np.ndarray], size: list[int]) -> Iterator[np.ndarray]:
    return (fitted(frame, tuple(size)) for frame in frames) if size else frames


def _latent_shape(config: Any, work: Work, model: LatentModel) -> tuple[int, ...]:
    """(C, K, h, w) of the key frames."""
    if work.latents is not None:
        return work.latents.shape
    size = config.size or (work.source.size if work.source else model.size[1:])
    return model.latent_shape(work.chain.keys, *size)
