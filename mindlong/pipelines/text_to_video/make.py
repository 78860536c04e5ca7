"""Text to video in latents: prompts in, latents out, whichever latent family the UNet is of.

Noise is keyed by (seed, "sample", number of the video), so a video does not depend on which others
are made with it.

Legend: B videos, C channels of a latent, F frames, h w latent pixels, S tokens, D their width.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from mindlong.diffusion.finite import Row
from mindlong.diffusion.guidance import Model, guided, guided_batched, scale_of
from mindlong.diffusion.noising import Noising
from mindlong.diffusion.sample import rule_of, sample
from mindlong.diffusion.samplers.lcm import told_of
from mindlong.diffusion.samplers.loop import Callback
from mindlong.pipelines.clip_parallel.windows import shuffled
from mindlong.pipelines.clips import Clip
from mindlong.pipelines.latent_model import LatentModel
from mindlong.pipelines.made import Made
from mindlong.pipelines.models import Models
from mindlong.pipelines.starts import read_start
from mindlong.pipelines.text_to_video.again import Again
from mindlong.pipelines.text_to_video.plan import (
    clips_of,
    noising_of,
    parts_of,
    size_of,
    source_of,
)
from mindlong.pipelines.text_to_video.windowed import windowed
from mindlong.pipelines.wording import states_of_rows
from mindlong.plans.contexts import Contexts
from mindlong.utils import rng

Repeats = Callable[[int, Clip], np.ndarray]  # frames, clip -> the frame whose noise each has


class TextToVideo:
    """A latent model with the way to sample from it.

    Args:
        model: the networks.
        sample: the `sample` section of a configuration.
        negative: what guidance leads away from.
        two_passes: guidance asks the network twice a step rather than once with twice the rows.
        fps: for a UNet that is conditioned on it.
        curve: of guidance over the steps, of mindlong.diffusion.guidance.CURVES.
        noising: the part of the noising process to go through where it is not all of the model's.
        contexts: the network is asked for windows of the video.
    """

    def __init__(
        self,
        model: LatentModel,
        sample: Any,
        *,
        negative: str = "",
        two_passes: bool = False,
        fps: float = 8,
        noising: Noising | None = None,
        curve: str = "constant",
        contexts: Contexts | None = None,
    ) -> None:
        self.contexts = contexts
        self.curve = curve
        self.model, self.sample, self.noising = model, sample, noising or model.noising
        self.negative, self.two_passes, self.fps = negative, two_passes, fps

    def latents(
        self,
        clips: Sequence[Clip],
        x_T: np.ndarray,
        callback: Callback | None = None,
        model: Model | None = None,
        *,
        pure_noise: bool = True,
    ) -> np.ndarray:
        """Clean latents (B, C, F, h, w) of `clips`, denoised together from `x_T` of the same shape,
        by the network under guidance or by the `model` given. `pure_noise` as for
        `mindlong.diffusion.sample.sample`.
        """
        model = model or self.guided(self.context(clips, x_T.shape[2]), x_T.shape[2])

        def noise(step: int) -> np.ndarray:
            return np.stack(
                [
                    rng.normal(x_T.shape[1:], clip.seed, "sample-step", step, clip.number)
                    for clip in clips
                ]
            )

        return sample(
            self.sample,
            model,
            x_T,
            self.noising,
            noise=noise,
            callback=callback,
            rows=[Row(clip.name) for clip in clips],
            pure_noise=pure_noise,
        )

    def context(self, clips: Sequence[Clip], frames: int) -> np.ndarray:
        """The prompts' vectors: (B, S, D), or (B, F, S, D) where a clip has a prompt for each
        frame.
        """
        if all(len(clip.prompts) == 1 and not clip.shares for clip in clips):
            return self.model.encode_text([clip.prompts[0] for clip in clips])
        return np.stack([self._of_frames(clip, frames) for clip in clips])

    def _of_frames(self, clip: Clip, frames: int) -> np.ndarray:
        """(F, S, D)."""
        if not clip.shares:
            return self.model.encode_text(clip.prompts * (frames // len(clip.prompts)))
        return states_of_rows(clip.shares, self.model.encode_text)

    def guided(self, context: np.ndarray, frames: int = 0) -> Model:
        """The network under guidance, for a sampler; `frames` of the latents, where it is asked for
        windows.
        """
        scale, rescale = self.sample.guidance, self.sample.rescale
        if self.model.told:
            return self._asked(context, frames, told_of(self.sample.flavour, scale))
        if scale == 1:
            return self._asked(context, frames)
        if self.curve != "constant":
            scale = scale_of(self.curve, scale, rule_of(self.sample, self.noising).times)
        null = self.model.null_text(self.negative, context)
        if self.two_passes:
            return guided(self._asked(context, frames), self._asked(null, frames), scale, rescale)
        both = np.concatenate([null, context])
        return guided_batched(self._asked(both, frames), scale, rescale)

    def _asked(self, context: np.ndarray, frames: int, guidance: float | None = None) -> Model:
        """The network with its conditions inside: of the whole video, or window by window."""
        if self.contexts is None:
            return self.model.denoiser(context, self.fps, guidance)

        def ask(x: np.ndarray, t: np.ndarray, mine: np.ndarray) -> np.ndarray:
            return self.model.denoiser(mine, self.fps, guidance)(x, t)

        times = rule_of(self.sample, self.noising).times
        return windowed(ask, self.contexts, frames, times, context)


def first_noise(
    clips: Sequence[Clip], shape_CFhw: tuple[int, ...], repeats: Repeats | None = None
) -> np.ndarray:
    """The noise that `clips` start from, (B, C, F, h, w) float32; `repeats` says which frames of a
    clip have that of others.
    """
    drawn = [rng.normal(shape_CFhw, clip.seed, "sample", 0, clip.number) for clip in clips]
    if repeats is not None:
        frames = shape_CFhw[1]
        drawn = [noise[:, repeats(frames, clip)] for noise, clip in zip(drawn, clips, strict=True)]
    return np.stack(drawn)


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
        given: what all clips start from in the place of noise: of that noise, the start; None:
            nothing.
    """

    clips: Sequence[Clip]
    frames: int
    shape: tuple[int, ...]
    size: int
    start: str = ""
    repeats: Repeats | None = None
    given: Callable[[np.ndarray], np.ndarray] | None = None

    @cached_property
    def x_T(self) -> np.ndarray:
        """What the clips start from, (number of clips, C, F, h, w) float32."""
        if self.start:
            return read_start(self.start, len(self.clips), self.shape)
        noise = first_noise(self.clips, self.shape, self.repeats)
        return noise if self.given is None else self.given(noise)

    def batches(self) -> Iterator[list[Clip]]:
        """Batches of one size, so that one graph serves all: the last is filled up with its last
        clip.
        """
        for start in range(0, len(self.clips), self.size):
            part = list(self.clips[start : start + self.size])
            yield part + [part[-1]] * (self.size - len(part))

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
    start, given = config.text_to_video.start, _given(config, model, (frames, height, width))
    return Request(clips, frames, shape, size, start, repeats, given)


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
    again = Again(pipeline, config.free_init)
    for part in request.batches():
        pure = request.given is None
        made = again.latents(part, request.starts(part), callback, pure_noise=pure)
        for clip, latents in {c.name: (c, z) for c, z in zip(part, made, strict=True)}.values():
            yield Made(
                clip.title,
                clip.number,
                model.decode(latents),
                request.frames,
                config.fps,
                lambda held=latents: held,
            )
