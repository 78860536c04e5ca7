"""Frames between given images by a network that reads the first and the last of a run
(CogVideoX-Fun-2B-InP): each gap is a run of its own, from image to image. Neighbouring runs meet in
an image, which stays as it was given.

Legend: n images of a run, C channels of a latent, F latents, h w latent pixels.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from mindlong.data.transforms import fitted
from mindlong.diffusion import known_frames
from mindlong.diffusion.finite import Row
from mindlong.diffusion.guidance import Model, guided
from mindlong.diffusion.sample import count_steps, sample
from mindlong.pipelines.clips import stem
from mindlong.pipelines.journal import Journal
from mindlong.pipelines.load_model import load_latent_model
from mindlong.pipelines.previews import Previews
from mindlong.pipelines.results import wanted
from mindlong.utils import arrays, progress, rng

if TYPE_CHECKING:
    from mindlong.config.infer_options.interpolate import InterpolateOptions
    from mindlong.pipelines.interpolate.key_frames import KeyFrames
    from mindlong.pipelines.latent_model import LatentModel

Video = tuple[str, str, Iterator[np.ndarray]]  # name of the files, prompt, frames


def videos(session: Any, source: KeyFrames, total: int, belongs: dict[str, Any]) -> Iterator[Video]:
    """The videos of a run, one a prompt; frames are made as they are taken.

    Args:
        source: the key frames. total: frames of a video.
        belongs: what results depend on, for going on after a stop.
    """
    config = session.config
    model = load_latent_model(config.weights, config.latent).worded(config)
    prompts = wanted(config)
    gaps, steps = source.count - 1, count_steps(config.sample, model.noising)
    for number, prompt in enumerate(prompts):
        name = stem(number, len(prompts))
        with progress.bar(gaps * steps, "denoising") as bar:
            filler = _Filler(session, model, prompt, number, belongs | {"prompt": prompt}, bar)
            yield name, prompt, itertools.islice(filler.frames(name, source), total)


class _Filler:
    """The frames of one video."""

    def __init__(
        self,
        session: Any,
        model: LatentModel,
        prompt: str,
        number: int,
        belongs: dict[str, Any],
        bar: Any,
    ) -> None:
        self.config, self.model, self.number, self.bar = session.config, model, number, bar
        self.own: InterpolateOptions = self.config.interpolate
        self.length = self.own.stages()[0] + 1
        self.folder = session.folder / "jobs" / stem(number, 2)
        self.journal, self.previews = Journal(self.folder, belongs), Previews(session, model.decode)
        self.context = model.encode_text([prompt])
        self.null = model.null_text(self.own.negative, self.context)
        model.release("text_encoder")

    def frames(self, name: str, source: KeyFrames) -> Iterator[np.ndarray]:
        """All frames, uint8 (H, W, 3)."""
        size = tuple(self.config.size) if self.config.size else source.size
        keys = (fitted(frame, size) for frame in source.all())
        for gap, ends in enumerate(itertools.pairwise(keys)):
            made = self.model.decode(self._latents(name, gap, ends))
            for place, frame in enumerate(made):
                if place or not gap:  # the last run has given the image where they meet
                    yield self._kept(place, frame, ends)

    def _kept(
        self, place: int, frame: np.ndarray, ends: tuple[np.ndarray, np.ndarray]
    ) -> np.ndarray:
        if self.own.pin == "none":
            return frame
        return {0: ends[0], self.length - 1: ends[1]}.get(place, frame)

    def _latents(self, name: str, gap: int, ends: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
        """The latents (C, F, h, w) of one run, from the disk where an earlier run has left them."""
        job, file = f"gap-{gap:05d}", self.folder / f"gap-{gap:05d}.npz"
        if job in self.journal:
            try:
                found = arrays.read_npz(file, ["latents"])["latents"]
                self.bar.update(count_steps(self.config.sample, self.model.noising))
                return found
            except arrays.Damaged:
                self.journal.forget(job)
        latents = self._made(f"{name}, gap {gap}", gap, ends)
        arrays.write_npz(file, latents=latents)
        self.journal.add(job)
        return latents

    def _made(self, title: str, gap: int, ends: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
        shape = self.model.latent_shape(self.length, *ends[0].shape[:2])
        told = self._hint(gap, ends)[None]

        def step_noise(step: int) -> np.ndarray:
            return self._noise(shape, "between-step", step, gap)[None]

        return sample(
            self.config.sample,
            self._guided(told),
            self._noise(shape, "between", gap)[None],
            self.model.noising,
            noise=step_noise,
            callback=self.previews.step(self.bar, title.partition(",")[0], [title]),
            rows=[Row(title)],
        )[0]

    def _hint(self, gap: int, ends: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
        places = (0, self.length - 1)
        images = [end.astype(np.float32).transpose(2, 0, 1) / 127.5 - 1.0 for end in ends]
        given, level = dict(zip(places, images, strict=True)), self.own.hint_noise
        noise = None
        if level:
            noise = {p: level * self._noise(given[p].shape, "between-hint", p, gap) for p in places}
        video = known_frames.with_black(given, self.length, noise)
        latents = self.model.encode_images(video)
        return known_frames.hint(given, self.length, latents, self.model.vae_spec.scaling)

    def _guided(self, told: np.ndarray) -> Model:
        def under(context: np.ndarray) -> Model:
            return lambda x, t: self.model.predict(x, t, context, None, hint=told)

        s = self.config.sample
        null = under(self.null) if s.guidance != 1 else None
        return guided(under(self.context), null, s.guidance, s.rescale)

    def _noise(self, shape: tuple[int, ...], stream: str, *place: int) -> np.ndarray:
        return rng.normal(shape, self.config.seed, stream, *place, self.number)
