"""Diffusion over diffusion (NUWA-XL, arXiv 2303.12346, section 3.3) as a pipeline: from networks
and a configuration to the frames of a video.

Legend: C channels, F frames, h w latent pixels.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from mindlong.data.transforms import fitted
from mindlong.pipelines.hierarchical.controlled_model import ControlledModel, controlled
from mindlong.pipelines.hierarchical.images import key_options
from mindlong.pipelines.hierarchical.plan import Work, shown, work_of
from mindlong.pipelines.hierarchical.runs import Runs, of_level
from mindlong.pipelines.interpolate.between_plan import reads_both_ends
from mindlong.pipelines.interpolate.key_frames import read_image
from mindlong.pipelines.jobs import run_plan
from mindlong.pipelines.latents import LatentMemory, Latents
from mindlong.pipelines.made import Made
from mindlong.pipelines.results import wanted
from mindlong.utils.errors import ConfigError

if TYPE_CHECKING:
    from mindlong.diffusion.samplers.loop import Callback
    from mindlong.parallel.comm import Comm
    from mindlong.pipelines.image_model import ImageModel
    from mindlong.pipelines.latent_model import LatentModel
    from mindlong.pipelines.models import Models


def samples_of(config: Any) -> list[Any]:
    """The `sample` section for each level as far as levels differ, with the guidance and the steps
    of the level.
    """
    o, sample = config.hierarchical, config.sample
    deepest = max(len(o.level_guidance), len(o.level_steps), 1)
    return [
        replace(
            sample,
            guidance=_at(o.level_guidance, level, sample.guidance),
            steps=_at(o.level_steps, level, sample.steps),
        )
        for level in range(deepest)
    ]


def _at(given: Sequence[Any], level: int, default: Any) -> Any:
    return of_level(given, level) if given else default


def size_of(config: Any, model: LatentModel) -> tuple[int, int]:
    """Height and width in pixels: as the configuration says, else as the network is used."""
    return tuple(config.size or model.size[1:])


def networks_of(models: Models, config: Any) -> list[ControlledModel | ImageModel]:
    """What makes level 0, then what makes the levels below; one where they are the same."""
    o, fs = config.hierarchical, config.conditioning.fs
    own = (config.lora, config.lora_strict, fs)
    by = [controlled(models, config.weights, o.branch, config.latent, *own)]
    if o.key_weights:
        key = (models, o.key_weights, "", key_options(config.latent), (), True, fs)
        by.insert(0, controlled(*key))
    for each in by:
        each.latent.worded(config)
    return by


def given_latents(config: Any, work: Work, model: LatentModel) -> np.ndarray:
    """Latents of the frames that exist already, (F, C, h, w), in the order of the plan."""
    size, o, source = size_of(config, model), config.hierarchical, work.source or work.keys
    if source is None:
        places = (place for place in (*o.images, o.first, o.last) if place)
        images = np.stack([fitted(read_image(place), size) for place in places])
        return model.encode(images).transpose(1, 0, 2, 3)
    numbers, parts = _places(work, o.key_every if work.keys else 1), []
    for start in range(0, len(numbers), 32):
        taken = (source.take(n, n + 1)[0] for n in numbers[start : start + 32])
        frames = np.stack([fitted(frame, size) for frame in taken])
        parts.append(model.encode(frames).transpose(1, 0, 2, 3))
    return np.concatenate(parts)


def _places(work: Work, every: int) -> list[int]:
    """The frames of the video that are given, in the order of the plan."""
    if work.keys:
        return list(range(0, every * len(work.plan.given), every))
    return work.source_frames()


def levels(
    config: Any,
    work: Work,
    by: Sequence[ControlledModel | ImageModel],
    latents: Latents,
    prompt: str,
    number: int,
    callback: Callback | None = None,
    comm: Comm | None = None,
) -> Iterator[int]:
    """Make every run of one video that is not in `latents` yet, level 0 by the first of `by`, those
    below by the last; yields each level's number when it is there.
    """
    o, latent = config.hierarchical, by[-1].latent
    channels, _, *area = latent.latent_shape(1, *size_of(config, latent))
    runs = Runs(
        by,
        [each.latent.encode_text for each in by],
        samples_of(config),
        [each.latent.noising for each in by],
        work.prompts(config, prompt),
        config.fps,
        o.negative,
        o.pin,
        o.level_seams or ("free",),
        o.level_strength,
        config.seed,
        number,
        callback=callback,
        image_guidance=config.conditioning.image_guidance,
        null=[each.latent.null_text for each in by],
    )
    for level in run_plan(
        work.plan, latents, runs, (channels, *area), config.batch, comm, work.only
    ):
        if level == 0 and len(by) > 1:
            by[0].latent.release("network")
        yield level


def decoded(model: LatentModel, folder: Latents, numbers: range) -> Iterator[np.ndarray]:
    """Frames (H, W, 3) uint8 of the plan, `model.chunk` latents in memory at a time."""
    for start in range(0, len(numbers), model.chunk):
        latents = folder.frames(numbers[start : start + model.chunk])
        yield from model.decode(latents.transpose(1, 0, 2, 3))


def film(config: Any, work: Work, model: LatentModel, folder: Latents) -> Iterator[np.ndarray]:
    """What is written: the new frames, with the frames of the video that they continue as they were
    before or behind them.
    """
    new = decoded(model, folder, range(work.first, work.last + 1))
    if work.source is None:
        yield from new
        return
    old = (fitted(frame, size_of(config, model)) for frame in work.source.all())
    for part in (old, new) if work.before else (new, old):
        yield from part


def make(models: Models, config: Any, callback: Callback | None = None) -> Iterator[Made]:
    """The videos of a configuration, each when it is asked for.

    Raises:
        ConfigError, InputFileError, NotFiniteError.
    """
    if reads_both_ends(config):
        raise ConfigError(
            "these weights read both ends of a run; a hierarchy is made with them by infer.py "
            "pipeline=hierarchical, not by a call"
        )
    work = work_of(config)
    by = networks_of(models, config)
    model = by[-1]
    new = range(work.first, work.last + 1)
    for number, prompt in enumerate(wanted(config)):
        latents = LatentMemory(work.plan)
        if work.plan.given:
            latents.give(given_latents(config, work, model.latent))
        for _ in levels(config, work, by, latents, prompt, number, callback):
            pass
        yield Made(
            shown(config, prompt),
            number,
            film(config, work, model.latent, latents),
            work.frames,
            config.fps,
            lambda held=latents: held.frames(new).transpose(1, 0, 2, 3),
        )
    for video in filter(None, (work.source, work.keys)):
        video.close()
