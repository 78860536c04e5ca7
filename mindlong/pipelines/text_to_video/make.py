"""Text to video in latents: prompts in, latents out, whichever latent family the UNet is of.

Noise is keyed by (seed, "sample", number of the video), so a video does not depend on which others
are made with it.

Legend: B videos, C channels of a latent, F frames, h w latent pixels, S tokens, D their width.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
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
from mindlong.pipelines.clips import Clip
from mindlong.pipelines.latent_model import LatentModel
from mindlong.pipelines.made import Made
from mindlong.pipelines.models import Models
from mindlong.pipelines.starts import read_start
from mindlong.pipelines.text_to_video.plan import clips_of, size_of
from mindlong.utils import rng


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
    ) -> None:
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
        model = model or self.guided(self.context(clips, x_T.shape[2]))

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
        if all(len(clip.prompts) == 1 for clip in clips):
            return self.model.encode_text([clip.prompts[0] for clip in clips])
        return np.stack(
            [self.model.encode_text(clip.prompts * (frames // len(clip.prompts))) for clip in clips]
        )

    def guided(self, context: np.ndarray) -> Model:
        """The network under guidance, for a sampler."""
        scale, rescale = self.sample.guidance, self.sample.rescale
        if self.model.told:
            told = told_of(self.sample.flavour, scale)
            return self.model.denoiser(context, self.fps, told)
        if scale == 1:
            return self.model.denoiser(context, self.fps)
        if self.curve != "constant":
            scale = scale_of(self.curve, scale, rule_of(self.sample, self.noising).times)
        null = self.model.null_text(self.negative, context)
        if self.two_passes:
            return guided(
                self.model.denoiser(context, self.fps),
                self.model.denoiser(null, self.fps),
                scale,
                rescale,
            )
        return guided_batched(
            self.model.denoiser(np.concatenate([null, context]), self.fps), scale, rescale
        )


def first_noise(clips: Sequence[Clip], shape_CFhw: tuple[int, ...]) -> np.ndarray:
    """The noise that `clips` start from, (B, C, F, h, w) float32."""
    return np.stack([rng.normal(shape_CFhw, clip.seed, "sample", 0, clip.number) for clip in clips])


@dataclass(frozen=True)
class Request:
    """What a configuration asks for.

    Attributes:
        clips: in order.
        frames: of each.
        shape: (C, F, h, w) of the latents of each.
        size: clips denoised together.
        start: a file with the noise to start from; "": noise of the clips' seed.
    """

    clips: Sequence[Clip]
    frames: int
    shape: tuple[int, ...]
    size: int
    start: str = ""

    @cached_property
    def x_T(self) -> np.ndarray:
        """What the clips start from, (number of clips, C, F, h, w) float32."""
        if self.start:
            return read_start(self.start, len(self.clips), self.shape)
        return first_noise(self.clips, self.shape)

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
    return Request(clips, frames, shape, size, config.text_to_video.start)


def pipeline_of(config: Any, model: LatentModel) -> TextToVideo:
    """The model, sampled as a configuration says."""
    own = config.text_to_video
    return TextToVideo(
        model,
        config.sample,
        negative=own.negative,
        two_passes=own.two_passes,
        fps=own.fps_condition or config.fps,
        curve=own.guidance_curve,
    )


def make(models: Models, config: Any, callback: Callback | None = None) -> Iterator[Made]:
    """The videos of a configuration, each batch when its first video is asked for.

    Raises:
        ConfigError, InputFileError, NotFiniteError.
    """
    model = models.latent(config.weights, config.latent)
    request, pipeline = request_of(config, model), pipeline_of(config, model)
    for part in request.batches():
        made = pipeline.latents(part, request.starts(part), callback)
        for clip, latents in {c.name: (c, z) for c, z in zip(part, made, strict=True)}.values():
            yield Made(
                clip.title,
                clip.number,
                model.decode(latents),
                request.frames,
                config.fps,
                lambda held=latents: held,
            )
