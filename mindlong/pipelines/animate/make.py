"""Video from images in latents: images and prompts in, latents out.

Noise is keyed by (seed, "sample", number of the video), so a video does not depend on which others
are made with it.

Legend: B videos, C channels of a latent, F frames, h w latent pixels, T tokens of an image.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mindlong.diffusion.sample import count_steps
from mindlong.pipelines.animate.plan import (
    check_ends,
    clips_of,
    parts_of,
    read_given,
    size_of,
    told_rate,
    written,
)
from mindlong.pipelines.clips import Clip, batches, first_noise
from mindlong.pipelines.image_model import ImageModel, guided_model
from mindlong.pipelines.image_parts import calls, check_room
from mindlong.pipelines.made import Made, made_of
from mindlong.pipelines.text_to_video.guided import TextToVideo
from mindlong.utils import rng

if TYPE_CHECKING:
    from mindlong.config.infer_options.animate import AnimateOptions
    from mindlong.diffusion.guidance import Model
    from mindlong.diffusion.samplers.loop import Callback
    from mindlong.pipelines.latent_model import LatentModel
    from mindlong.pipelines.models import Models


@dataclass(frozen=True)
class Given:
    """What is known of the images.

    Attributes:
        tokens_TD: of the first one.
        ends_CKhw: latents of the first one, and of the last one where the network knows it (K 1 or
            2); none where it knows the image by its tokens alone (K 0).
    """

    tokens_TD: np.ndarray
    ends_CKhw: np.ndarray


class Animate:
    """A network of images with the way to sample from it.

    Args:
        given: number of a clip -> its images.
        sample: the `sample` section of a configuration.
        negative: what guidance leads away from.
        fps: what the network takes as its frame rate.
        image_guidance: see `mindlong.pipelines.image_model.guided_model`.

    Attributes:
        steps: denoising steps of a batch.
    """

    def __init__(
        self,
        model: ImageModel,
        given: dict[int, Given],
        sample: Any,
        *,
        negative: str = "",
        fps: float = 8,
        image_guidance: float = 0.0,
    ) -> None:
        self.model, self.given, self.sample = model, given, sample
        self.negative, self.fps, self.image_guidance = negative, fps, image_guidance
        self.text = TextToVideo(model.latent, sample, negative=negative)
        self.steps = count_steps(sample, model.latent.noising)

    def latents(
        self, clips: Sequence[Clip], x_T: np.ndarray, callback: Callback | None = None
    ) -> np.ndarray:
        """Clean latents (B, C, F, h, w) of `clips`, denoised together from noise of that shape."""
        return self.text.latents(clips, x_T, callback, self._model(clips, x_T.shape))

    def _model(self, clips: Sequence[Clip], shape: tuple[int, ...]) -> Model:
        given = [self.given[clip.number] for clip in clips]
        clean, known = np.zeros(shape, np.float32), np.zeros((shape[0], shape[2]), bool)
        for row, each in enumerate(given):
            for place, end in zip((0, -1), each.ends_CKhw.transpose(1, 0, 2, 3), strict=False):
                clean[row, :, place], known[row, place] = end, True
        tokens = np.stack([each.tokens_TD for each in given])

        def conditioned(context: np.ndarray, image: bool) -> Model:
            return self.model.denoiser(
                context, self.fps, clean, known, 0, image, tokens if image else None
            )

        context = self.text.context(clips, shape[2])
        return guided_model(
            conditioned,
            context,
            lambda: self.model.latent.null_text(self.negative, context),
            self.sample,
            self.image_guidance,
        )


def animator(config: Any, model: LatentModel, clips: Sequence[Clip]) -> Animate:
    """What makes the latents of `clips`; images and prompts are encoded, the encoders let go."""
    own, images = config.animate, model.denoises.images
    fps = told_rate(images, config.conditioning.fs)
    given = _given(config, model, size_of(config, model.size)[1:])
    model.worded(config)
    for clip in clips:
        model.encode_text([*clip.prompts, own.negative])
    if calls(config.sample, config.conditioning.image_guidance) > 1:
        model.null_tokens()
    for role in ("text_encoder", "image_encoder", "projector"):
        model.release(role)
    return Animate(
        ImageModel(model, [fps]),
        {clip.number: given[clip.number // config.count] for clip in clips},
        config.sample,
        negative=own.negative,
        fps=fps,
        image_guidance=config.conditioning.image_guidance,
    )


def _given(config: Any, model: LatentModel, size: tuple[int, int]) -> list[Given]:
    """What the network knows of each image. A loop's ends are the same latents, bit for bit."""
    own: AnimateOptions = config.animate
    images = read_given(own, size)
    if not model.denoises.images.beside:
        channels, _, *rest = model.latent_shape(1, *size)
        none = np.zeros((channels, 0, *rest), np.float32)
        return [Given(model.image_tokens(image), none) for image in images]
    latents = [_encoded(config, model, image, i) for i, image in enumerate(images)]
    last = latents.pop() if own.last else None
    found = []
    for image, first in zip(images, latents, strict=False):
        end = last if own.last else first if own.loop else None
        ends = [first] if end is None else [first, end]
        found.append(Given(model.image_tokens(image), np.concatenate(ends, 1)))
    return found


def _encoded(config: Any, model: LatentModel, image: np.ndarray, number: int) -> np.ndarray:
    """(C, 1, h, w), the mean of the posterior or a sample that is keyed by the image's number."""
    channels, _, *rest = model.latent_shape(1, *image.shape[:2])
    noise = None
    if config.animate.encode == "sample":
        noise = rng.normal((1, channels, *rest), config.seed, "animate-encode", number)
    return model.encode(image[None], noise)


def make(models: Models, config: Any, callback: Callback | None = None) -> Iterator[Made]:
    """The videos of a configuration, each when it is asked for.

    Raises:
        ConfigError, InputFileError, NotFiniteError.
    """
    parts = parts_of(config)
    model = models.latent(config.weights, config.latent, config.lora, config.lora_strict)
    check_ends(config.animate, model.denoises.images)
    frames, height, width = size_of(config, parts.size)
    check_room(model.denoises.images, frames)
    shape, clips = model.latent_shape(frames, height, width), clips_of(config, frames)
    way, count = animator(config, model, clips), written(config.animate, frames)
    for part in batches(clips, min(config.batch, len(clips))):
        made = way.latents(part, first_noise(part, shape), callback)
        yield from made_of(model, part, made, count, config.fps)
