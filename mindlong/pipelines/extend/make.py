"""More of a video or of pictures, run after run.

Legend: F frames, C channels, h w latent pixels.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from mindlong.data.transforms import fitted
from mindlong.diffusion.hints import Rule
from mindlong.pipelines.extend.plan import (
    Work,
    check_hints,
    frames_of,
    shown_by,
    size_of,
    work_of,
)
from mindlong.pipelines.hierarchical.runs import Runs
from mindlong.pipelines.image_model import ImageModel
from mindlong.pipelines.interpolate.hinted import is_hinted
from mindlong.pipelines.interpolate.make import HintedRuns, Stage, decoded
from mindlong.pipelines.interpolate.networks import predictor
from mindlong.pipelines.interpolate.trained_rule import trained_rule
from mindlong.pipelines.jobs import run_plan
from mindlong.pipelines.latents import LatentMemory, Latents
from mindlong.pipelines.made import Made
from mindlong.pipelines.one_prompt import Shown
from mindlong.pipelines.results import wanted
from mindlong.utils import rng

if TYPE_CHECKING:
    from mindlong.diffusion.samplers.loop import Callback
    from mindlong.pipelines.latent_model import LatentModel
    from mindlong.pipelines.models import Models


def model_of(models: Models, config: Any, work: Work) -> LatentModel:
    """The networks. Raises ConfigError where they could not know what they are to continue."""
    model = models.latent(config.weights, config.latent, config.lora, config.lora_strict)
    images = model.denoises.images
    check_hints(work, not images and is_hinted(model.spec, model.vae_spec.latent_channels))
    return model.worded(config)


def levels(
    config: Any,
    work: Work,
    model: LatentModel,
    latents: Latents,
    prompt: str,
    number: int,
    callback: Callback | None = None,
) -> Iterator[int]:
    """Make every run of one video that is not in `latents` yet."""
    size = size_of(config, work.given)
    channels, _, *area = model.latent_shape(1, *size)
    latents.give(_given(config, work, model, (channels, *area), number))
    runs = _runs(config, work, model, shown_by(config, work, prompt), number, callback)
    yield from run_plan(work.plan, latents, runs, (channels, *area))


def _runs(
    config: Any,
    work: Work,
    model: LatentModel,
    shown: Shown,
    number: int,
    callback: Callback | None,
) -> Runs | HintedRuns:
    """What makes the plan's runs: a network that is conditioned on images knows each run's first
    frame, others read hints.
    """
    if model.denoises.images:
        return Runs(
            ImageModel(model, config.conditioning.fs),
            model.encode_text,
            config.sample,
            model.noising,
            shown,
            work.fps,
            config.extend.negative,
            null=model.null_text,
            seed=config.seed,
            number=number,
            callback=callback,
            image_guidance=config.conditioning.image_guidance,
        )
    stages = [_stage(config, work, model, shown, level, callback) for level in (0, 1)]
    return HintedRuns(
        lambda level: stages[min(level, 1)],
        10**9,
        lambda level: work.fps,
        work.inside,
        config.seed,
        number,
    )


def _given(
    config: Any, work: Work, model: LatentModel, shape: tuple[int, ...], number: int
) -> np.ndarray:
    """Latents (F, C, h, w) of the given frames."""
    size, noise = size_of(config, work.given), None
    if config.extend.encode == "sample":
        stream = (config.seed, "extend-encode", number)
        noise = np.stack([rng.normal(shape, *stream, k) for k in range(len(work.given))])
    given = np.stack([fitted(frame, size) for frame in work.given])
    return model.encode(given, noise).transpose(1, 0, 2, 3)


def _stage(
    config: Any, work: Work, model: LatentModel, shown: Shown, level: int, callback: Callback | None
) -> Stage:
    """The first run is told real frames; later ones frames that the network made, which may get
    noise.
    """
    o, trained = config.extend, trained_rule(config.weights)
    rule = Rule(
        o.hint or trained.hint,
        o.mask or trained.mask,
        "each_step" if work.inside else "none",
        o.hint_noise if level else 0.0,
        o.shared_noise,
    )
    hinted = is_hinted(model.spec, model.vae_spec.latent_channels)
    return Stage(
        predictor(model, shown, config.sample, o.negative),
        model.noising,
        rule,
        config.sample,
        hinted,
        callback,
        shown.changing(),
    )


def film(config: Any, work: Work, model: LatentModel, latents: Latents) -> Iterator[np.ndarray]:
    """The video's own frames as they are, then the given ones and those added."""
    if work.video:
        before = work.video.count - len(work.given)
        size = size_of(config, work.given)
        yield from (fitted(frame, size) for frame in itertools.islice(work.video.all(), before))
    yield from decoded(model, latents)


def make(models: Models, config: Any, callback: Callback | None = None) -> Iterator[Made]:
    """The videos of a configuration, each when it is asked for.

    Raises:
        ConfigError, InputFileError, NotFiniteError.
    """
    work = work_of(config)
    model = model_of(models, config, work)
    for number, prompt in enumerate(wanted(config)):
        latents = LatentMemory(work.plan)
        for _ in levels(config, work, model, latents, prompt, number, callback):
            pass
        yield Made(
            prompt,
            number,
            film(config, work, model, latents),
            frames_of(work),
            work.fps,
            lambda held=latents: held.frames(range(held.plan.frames)).transpose(1, 0, 2, 3),
        )
    if work.video:
        work.video.close()
