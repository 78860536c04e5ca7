"""Text to video as a pipeline: from a configuration and networks to videos.

Legend: B videos, C channels of a latent, F frames, h w latent pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from mindlong.diffusion.sample import rule_of
from mindlong.diffusion.shared_noise import share_low
from mindlong.pipelines.clip_parallel.windows import shuffled
from mindlong.pipelines.clips import Clip, Repeats, batches, first_noise
from mindlong.pipelines.made import Made, made_of
from mindlong.pipelines.starts import read_start
from mindlong.pipelines.text_to_video.again import Again
from mindlong.pipelines.text_to_video.guided import TextToVideo
from mindlong.pipelines.text_to_video.plan import (
    clips_of,
    noising_of,
    parts_of,
    size_of,
    source_of,
)
from mindlong.utils import rng

if TYPE_CHECKING:
    from mindlong.diffusion.noising import Noising
    from mindlong.diffusion.samplers.loop import Callback
    from mindlong.pipelines.latent_model import LatentModel
    from mindlong.pipelines.models import Models
    from mindlong.plans.contexts import Contexts


def repeats_of(options: Any, contexts: Contexts | None) -> Repeats | None:
    """Which noise each frame has, by the section `free_noise`: None where all have their own."""
    kind = options.noise or ("shuffle_context" if options.around else "random")
    window, stride = options.window, options.stride
    if not options.around and contexts is not None:
        window, stride = contexts.length, contexts.length - contexts.overlap
    if kind == "random":
        return None
    if kind == "repeat_context":
        return lambda frames, clip: np.arange(frames) % window
    return lambda frames, clip: shuffled(frames, window, stride, _order(clip))


def _order(clip: Clip) -> int:
    """A seed for what is drawn once for a clip: clips of one run have their own orders."""
    return int(rng.generator(clip.seed, "free-noise", clip.number).integers(1 << 31))


def noised(
    z: np.ndarray, noise: np.ndarray, sample: Any, noising: Noising, strength: float
) -> np.ndarray:
    """Clean latents at the level where sampling begins; at strength 1 nothing but noise."""
    if strength >= 1:
        return noise
    level = rule_of(sample, noising).levels[0]
    return (level.signal * z + level.sigma * noise).astype(np.float32)


@dataclass(frozen=True)
class Request:
    """What a configuration asks for.

    Attributes:
        clips: in order.
        frames: of each.
        shape: (C, F, h, w) of the latents of each.
        size: clips denoised together.
        start: a file with the noise to start from; "": noise of the clips' seed.
        repeats: which frames of a clip have the noise of others; None: none.
        shared_low: see `mindlong.diffusion.shared_noise.share_low`.
        given: what all clips start from in the place of noise: of that noise, the start; None:
            nothing.
    """

    clips: Sequence[Clip]
    frames: int
    shape: tuple[int, ...]
    size: int
    start: str = ""
    repeats: Repeats | None = None
    shared_low: float = 0.0
    given: Callable[[np.ndarray], np.ndarray] | None = None

    @cached_property
    def x_T(self) -> np.ndarray:
        """What the clips start from, (number of clips, C, F, h, w) float32."""
        if self.start:
            return read_start(self.start, len(self.clips), self.shape)
        noise = first_noise(self.clips, self.shape, self.repeats)
        for row, clip in zip(noise, self.clips, strict=True):
            row[:] = share_low(row, self.shared_low, clip.seed, clip.number)
        return noise if self.given is None else self.given(noise)

    def batches(self) -> Iterator[list[Clip]]:
        """See `mindlong.pipelines.clips.batches`."""
        return batches(self.clips, self.size)

    def starts(self, part: Sequence[Clip]) -> np.ndarray:
        """`x_T` of some of the clips."""
        return np.stack([self.x_T[clip.number] for clip in part])


def request_of(config: Any, model: LatentModel) -> Request:
    """The videos of a configuration. Raises ConfigError, InputFileError."""
    frames, height, width = size_of(config, model.size)
    clips, shape = clips_of(config, frames), model.latent_shape(frames, height, width)
    size = min(config.batch, len(clips))
    frames = model.vae_spec.frames_of(shape[1])
    repeats = repeats_of(config.free_noise, config.contexts.contexts())
    own, given = config.text_to_video, _given(config, model, (frames, height, width))
    return Request(clips, frames, shape, size, own.start, repeats, own.shared_low, given)


def _given(
    config: Any, model: LatentModel, size: tuple[int, int, int]
) -> Callable[[np.ndarray], np.ndarray] | None:
    """How noise becomes the start where a video or an image is one."""
    source = source_of(config, size)
    if source is None:
        return None
    noising, strength = noising_of(config, model.noising), config.text_to_video.strength

    def over(noise: np.ndarray) -> np.ndarray:
        z = model.encode(source)[None]
        model.release("vae")
        return noised(z, noise, config.sample, noising, strength)

    return over


def model_of(models: Models, config: Any) -> LatentModel:
    """The networks of a configuration, reading in views where it asks for that. Raises ConfigError,
    InputFileError.
    """
    views = config.free_noise.views()
    if views is None:
        return models.latent(config.weights, config.latent, config.lora, config.lora_strict)
    return models.of_parts(parts_of(config), config.latent, config.weights, views)


def pipeline_of(config: Any, model: LatentModel) -> TextToVideo:
    """The model, sampled as a configuration says."""
    own = config.text_to_video
    return TextToVideo(
        model.worded(config),
        config.sample,
        negative=own.negative,
        two_passes=own.two_passes,
        fps=own.fps_condition or config.fps,
        curve=own.guidance_curve,
        noising=noising_of(config, model.noising),
        contexts=config.contexts.contexts(),
    )


def make(models: Models, config: Any, callback: Callback | None = None) -> Iterator[Made]:
    """The videos of a configuration, each batch when its first video is asked for.

    Raises:
        ConfigError, InputFileError, NotFiniteError.
    """
    model = model_of(models, config)
    request, pipeline = request_of(config, model), pipeline_of(config, model)
    again = Again(pipeline, config.free_init, config.text_to_video.shared_low)
    for part in request.batches():
        pure = request.given is None
        made = again.latents(part, request.starts(part), callback, pure_noise=pure)
        yield from made_of(model, part, made, request.frames, config.fps)
