"""Diffusion over diffusion (NUWA-XL, arXiv 2303.12346, section 3.3): the work of a hierarchy's
runs.

Level 0 makes key frames as the base does. Each run below knows its ends, which are the frames of
the level above to the last bit, and makes what lies between; runs of a level need nothing of one
another.

Legend: B runs of a batch, C channels, F frames of a run, h w latent pixels, S tokens, D their
width.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np

from mindlong.data.transforms import fitted
from mindlong.diffusion import hints
from mindlong.diffusion.finite import Row
from mindlong.diffusion.guidance import Model
from mindlong.diffusion.noising import Noising
from mindlong.diffusion.sample import sample
from mindlong.diffusion.samplers.loop import Callback, Held
from mindlong.networks.unet.control_spec import ControlSpec, condition
from mindlong.parallel.comm import Comm
from mindlong.pipelines.hierarchical.controlled_model import ControlledModel, controlled
from mindlong.pipelines.hierarchical.images import key_options
from mindlong.pipelines.hierarchical.plan import Work, shown, work_of
from mindlong.pipelines.image_model import ImageModel, guided_model
from mindlong.pipelines.interpolate.key_frames import read_image
from mindlong.pipelines.jobs import Batch, run_plan
from mindlong.pipelines.latent_model import LatentModel
from mindlong.pipelines.latents import LatentMemory, Latents
from mindlong.pipelines.made import Made
from mindlong.pipelines.models import Models
from mindlong.pipelines.one_prompt import Shown
from mindlong.pipelines.prompts import Prompts
from mindlong.pipelines.results import wanted
from mindlong.pipelines.wording import states_of_rows
from mindlong.utils import rng

BLEND = ControlSpec(fill="blend")


class Network(Protocol):
    """What a run asks: `mindlong.pipelines.hierarchical.controlled_model.ControlledModel`, or a
    stand-in of a test.
    """

    def denoiser(
        self,
        context: np.ndarray,
        fps: float,
        clean_BCFHW: np.ndarray,
        known_BF: np.ndarray,
        depth: int,
        image: bool = True,
    ) -> Model:
        """A model for the samplers; `image` is false for the unconditional call."""


@dataclass(frozen=True)
class Runs:
    """The work of a hierarchy; call it with a batch (see `mindlong.pipelines.jobs`).

    Attributes:
        network: what is asked, or one for each level (the last for all below it); `encode` and
            `noising` likewise.
        encode: prompts -> (number of prompts, S, D) float32.
        sample: the `sample` section of a configuration, or one for each level likewise.
        prompts: of every run.
        fps: of the finished video; a network that takes it is conditioned on that of its own run.
        pin: "each_step" or "final".
        strength: of each level (the last for all below it), what share of the timesteps runs go
            through that know frames;
            below 1 they begin from a blend of these. Empty: all of them, from noise alone.
        number: of the video among those of one seed.
        null: (negative prompt, states of prompts) -> what the unconditional call reads in their
            place, or one for each level likewise; None: the states of the negative prompt.
        image_guidance: the scale towards the image apart from that towards the text; 0: both are
            one (see `mindlong.pipelines.image_model.guided_model`).
    """

    network: Network | Sequence[Network]
    encode: Callable[[list[str]], np.ndarray] | Sequence[Callable[[list[str]], np.ndarray]]
    sample: Any
    noising: Noising | Sequence[Noising]
    prompts: Prompts | Shown
    fps: float = 8.0
    negative: str = ""
    pin: str = "each_step"
    strength: Sequence[float] = ()
    seed: int = 0
    number: int = 0
    callback: Callable[..., Any] | None = None
    image_guidance: float = 0.0
    null: Any = None

    def __call__(self, batch: Batch, known_BFCHW: np.ndarray) -> np.ndarray:
        """All frames of every run (B, F, C, h, w); known ones are returned as they came."""
        known, clean = batch.known, known_BFCHW.transpose(0, 2, 1, 3, 4)
        model, noising = self._model(batch, clean, known), self._noising(batch.level, known)
        whole = noising is _of_level(self.noising, batch.level)
        places = np.flatnonzero(known[0])
        start = self._noise(batch, clean.shape[1:2] + clean.shape[3:], "start")
        if not whole:
            start = hints.pinned_start(
                start, condition(clean, known, BLEND)[0], range(known.shape[1]), noising.schedule
            )
        elif len(places) and self.pin == "each_step":
            start = hints.pinned_start(start, clean[:, :, places], places, noising.schedule)
        held = None
        if len(places) and self.pin == "each_step":
            held = Held(clean[:, :, places], places)
        made = sample(
            _of_level(self.sample, batch.level),
            model,
            start,
            noising,
            callback=self.callback,
            noise=lambda step: self._noise(batch, clean.shape[1:2] + clean.shape[3:], "step", step),
            held=held,
            rows=[Row(job.name, job.frames) for job in batch.jobs],
            pure_noise=held is None and whole,
        )
        out = np.where(known[:, None, :, None, None], clean, made)
        return out.transpose(0, 2, 1, 3, 4).astype(np.float32)

    def _model(self, batch: Batch, clean: np.ndarray, known: np.ndarray) -> Model:
        rate, sample = self.fps / self._stride(batch), _of_level(self.sample, batch.level)
        network = _of_level(self.network, batch.level)

        def conditioned(context: np.ndarray, image: bool) -> Model:
            return network.denoiser(context, rate, clean, known, batch.level, image)

        context = self._context(batch)

        def null() -> np.ndarray:
            rule = _of_level(self.null, batch.level)
            if rule is not None:
                return rule(self.negative, context)
            empty = _of_level(self.encode, batch.level)([self.negative])[0]
            return np.broadcast_to(empty, context.shape)

        guidance = self.image_guidance if hasattr(network, "images") else 0.0
        return guided_model(conditioned, context, null, sample, guidance)

    def _noising(self, level: int, known: np.ndarray) -> Noising:
        share = _of_level(self.strength, level) if len(self.strength) and known.any() else 1
        return _of_level(self.noising, level).below(share)

    def _stride(self, batch: Batch) -> int:
        frames = batch.jobs[0].frames
        return frames[1] - frames[0] if len(frames) > 1 else 1

    def _context(self, batch: Batch) -> np.ndarray:
        """(B, S, D), or (B, F, S, D) where prompts change with time."""
        lists = [self.prompts.rows(job) for job in batch.jobs]
        encode = _of_level(self.encode, batch.level)
        if not self.prompts.changing():
            return encode([rows[0][0][0] for rows in lists])
        return np.stack([states_of_rows(rows, encode) for rows in lists])

    def _noise(self, batch: Batch, shape: tuple[int, ...], *stream: str | int) -> np.ndarray:
        """float32 (B, C, F, h, w), each image of its own level and frame, whatever run and batch
        it stands in.
        """
        return np.stack(
            [
                np.stack(
                    [self._picture(batch.level, frame, shape, *stream) for frame in job.frames], 1
                )
                for job in batch.jobs
            ]
        )

    def _picture(
        self, level: int, frame: int, shape: tuple[int, ...], *stream: str | int
    ) -> np.ndarray:
        return rng.normal(
            shape, self.seed, f"hierarchical-{stream[0]}", *stream[1:], self.number, level, frame
        )


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
    return _of_level(given, level) if given else default


def _of_level(given: Any, level: int) -> Any:
    """What a level has of a list, of which the last entry is for all levels below; anything else is
    for all levels.
    """
    return given[min(level, len(given) - 1)] if isinstance(given, Sequence) else given


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
