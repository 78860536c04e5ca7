"""What editing does with a latent model: DDIM inversion, sampling from what it finds, and how good
the way back is.

Legend: B videos, C channels of a latent, F frames, h w latent pixels.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from mindlong.diffusion.finite import Row
from mindlong.diffusion.guidance import Model, guided_batched
from mindlong.diffusion.inversion import invert_ddim
from mindlong.diffusion.sample import Plain, rule_of, sample
from mindlong.networks.unet.injection import Gate, inject
from mindlong.pipelines.clips import Clip, first_noise
from mindlong.pipelines.edit.plan import EditWork, clips_of, work_of
from mindlong.pipelines.made import Made
from mindlong.pipelines.text_to_video.guided import TextToVideo
from mindlong.scores.interpolation import psnr, ssim
from mindlong.utils import rng

if TYPE_CHECKING:
    from mindlong.diffusion.samplers.loop import Callback
    from mindlong.pipelines.latent_model import LatentModel
    from mindlong.pipelines.models import Models

SOURCE = (Row("the source"),)


@dataclass(frozen=True)
class Reconstruction:
    """A video inverted in `steps` steps and made again in as many, under the prompt of the
    inversion and without guidance.

    Attributes:
        latent: PSNR of the latents in dB, their largest value as the peak.
        pixels, similarity: PSNR and SSIM of the frames against the autoencoder's own
            reconstruction.
        total: PSNR against the source; `ceiling` is what the autoencoder alone reaches.
    """

    steps: int
    refine: int
    latent: float
    pixels: float
    similarity: float
    total: float
    ceiling: float

    def row(self) -> str:
        """A line of the report."""
        return (
            f"{self.steps:5d} steps, {self.refine} repetitions: latents {self.latent:6.2f} dB, frames {self.pixels:6.2f} dB "
            f"and SSIM {self.similarity:.4f} against the autoencoder's, {self.total:6.2f} dB against the source "
            f"({self.ceiling:.2f} by the autoencoder alone)"
        )


class Editor:
    """A latent model with what editing needs.

    Args:
        model: the networks.
        sample: the `sample` section of a configuration.
        edit: the `edit` section. With `strength` below 1 the video is noised up to that share of
            the timesteps only, and denoised from there (the encoding ratio of DiffEdit, arXiv
            2210.11427).
        fps: for a UNet that is conditioned on it.
        gated: the model whose network gets gates for `edit.inject`, and takes three videos at a
            time from then on; None: `model` itself.
    """

    def __init__(
        self,
        model: LatentModel,
        sample: Any,
        edit: Any,
        fps: float = 8,
        gated: LatentModel | None = None,
    ) -> None:
        self.model, self.sample, self.edit, self.fps = model, sample, edit, fps
        self.gated = gated or model
        self.noising = model.noising.below(edit.strength)
        self.texts = TextToVideo(
            model, sample, negative=edit.negative, fps=fps, noising=self.noising
        )

    def path(
        self, z_CFhw: np.ndarray, steps: int, refine: int = 0, callback: Callback | None = None
    ) -> list[np.ndarray]:
        """Inversion without guidance: steps + 1 samples (C, F, h, w), from `z_CFhw` to the noise
        from which DDIM leads back.
        """
        noising, compat = self.noising, self.edit.compat == "tune_a_video"
        found = invert_ddim(
            self._plain(),
            z_CFhw[None],
            noising.schedule,
            steps,
            prediction=noising.prediction,
            flavour=noising.flavour,
            refine=refine,
            callback=callback,
            compat=compat,
            rows=SOURCE,
        )
        return [x[0] for x in found]

    def invert(
        self, z_CFhw: np.ndarray, steps: int, refine: int = 0, callback: Callback | None = None
    ) -> np.ndarray:
        """The end of `path`: the noise."""
        return self.path(z_CFhw, steps, refine, callback)[-1]

    def noised(self, clip: Clip, z_CFhw: np.ndarray) -> np.ndarray:
        """`z_CFhw` under fresh noise of the clip, at the level where sampling starts; at strength 1
        nothing but noise.
        """
        noise = first_noise([clip], z_CFhw.shape)[0]
        if self.edit.strength >= 1:
            return noise
        level = rule_of(self.sample, self.noising).levels[0]
        return level.signal * z_CFhw + level.sigma * noise

    def make(
        self, clip: Clip, path: list[np.ndarray], callback: Callback | None = None
    ) -> np.ndarray:
        """Latents (C, F, h, w) of a clip under its prompt, from the noise at the end of `path`.

        With `edit.inject` the source runs along from level to level of the path, which must have as
        many steps as sampling takes; the UNet takes batches of source, unguided and guided video
        from then on.
        """
        model = self._along(clip, path) if self.edit.inject else None
        fresh = not self.edit.invert and self.edit.strength >= 1
        x_T = path[-1][None]
        return self.texts.latents([clip], x_T, callback, model, pure_noise=fresh)[0]

    def again(self, x_T: np.ndarray, steps: int, callback: Callback | None = None) -> np.ndarray:
        """The way back of `invert`: the same prompt, no guidance."""
        return sample(
            Plain(steps=steps),
            self._plain(),
            x_T[None],
            self.noising,
            noise=None,
            callback=callback,
            rows=SOURCE,
            pure_noise=False,
        )[0]

    def compare(
        self,
        frames_FHWC: np.ndarray,
        z: np.ndarray,
        steps: int,
        refine: int,
        callback: Callback | None = None,
    ) -> Reconstruction:
        """Invert in `steps` steps, make the video again in as many, and measure."""
        back = self.again(self.invert(z, steps, refine, callback), steps, callback)
        coded, made = (np.stack(list(self.model.decode(latents))) for latents in (z, back))
        peak = max(float(np.abs(z).max()), 1e-10)  # of latents that are all 0 there is none
        error = max(float(np.square(back - z).mean()), 1e-20)
        return Reconstruction(
            steps,
            refine,
            10 * np.log10(peak**2 / error),
            psnr(coded, made),
            _ssim(coded, made),
            psnr(frames_FHWC, made),
            psnr(frames_FHWC, coded),
        )

    def _plain(self) -> Model:
        return self.model.denoiser(self.model.encode_text([self.edit.invert_prompt]), self.fps)

    def _along(self, clip: Clip, path: list[np.ndarray]) -> Model:
        """The guided network, asked together with the source at the same level."""
        o = self.sample
        steps = {t: step for step, t in enumerate(rule_of(o, self.noising).times)}
        edited = self.texts.context([clip], path[-1].shape[1])
        null = self.model.null_text(self.edit.negative, edited)
        source = np.broadcast_to(self.model.encode_text([self.edit.invert_prompt]), edited.shape)
        predict = self.gated.denoiser(np.concatenate([source, null, edited]), self.fps)

        def both(x: np.ndarray, t: np.ndarray) -> np.ndarray:
            step = steps[int(t[0])]
            for kind, gate in self._gates.items():
                gate.set(step < self.edit.inject.get(kind, 0) * o.steps)
            return predict(np.concatenate([path[-1 - step][None], x]), np.append(t[:1], t))[1:]

        return guided_batched(both, o.guidance, o.rescale)

    @cached_property
    def _gates(self) -> Mapping[str, Gate]:
        return inject(self.gated.network, 3)


def _ssim(a_FHWC: np.ndarray, b_FHWC: np.ndarray) -> float:
    return float(np.mean([ssim(a, b) for a, b in zip(a_FHWC, b_FHWC, strict=True)]))


def encoded(model: LatentModel, frames_FHWC: np.ndarray, config: Any) -> np.ndarray:
    """The source's latents (C, F, h, w)."""
    channels, count, *area = model.latent_shape(*frames_FHWC.shape[:3])
    drawn = (
        rng.normal((count, channels, *area), config.seed, "posterior")
        if config.edit.encode == "sample"
        else None
    )
    return model.encode(frames_FHWC, drawn)


def starts(
    editor: Editor, z_CFhw: np.ndarray, clips: Sequence[Clip], callback: Callback | None = None
) -> list[list[np.ndarray]]:
    """For each clip the samples (C, F, h, w) on the way to the noise that it starts from; of fresh
    noise only that.
    """
    o = editor.edit
    if not clips or not o.invert:
        return [[editor.noised(clip, z_CFhw)] for clip in clips]
    return [editor.path(z_CFhw, o.invert_steps, o.refine, callback)] * len(clips)


def editor_of(models: Models, config: Any, work: EditWork) -> Editor:
    """The networks with what a configuration wants of them."""
    o, seed = config.edit, config.seed if work.fresh else None
    named = (config.weights, o.tuned, config.sample.sampler, config.sample.flavour)

    def model(use: str) -> LatentModel:
        made = models.of_parts(work.parts, config.latent, use, *named, fresh_seed=seed)
        return made.worded(config)

    gated = model("gated") if o.inject and models.keep else None
    return Editor(model("edit"), config.sample, o, config.fps, gated)


def make(models: Models, config: Any, callback: Callback | None = None) -> Iterator[Made]:
    """The edits of a configuration, each when it is asked for.

    Raises:
        ConfigError, InputFileError, NotFiniteError.
    """
    work = work_of(config)
    editor, clips = editor_of(models, config, work), clips_of(config, len(work.frames_FHWC))
    z = encoded(editor.model, work.frames_FHWC, config)
    paths = starts(editor, z, clips, callback)
    for clip, path in zip(clips, paths, strict=True):
        latents = editor.make(clip, path, callback)
        yield Made(
            clip.title,
            clip.number,
            editor.model.decode(latents),
            len(work.frames_FHWC),
            config.fps,
            lambda held=latents: held,
        )
