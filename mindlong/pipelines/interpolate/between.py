"""Frames between given images by a network that reads the first and the last of a run
(CogVideoX-Fun-2B-InP): each gap is a run of its own, from image to image. Neighbouring runs meet in
an image, which stays as it was given.

Levels meet in images too, never in latents, of which the first is that of one image and the others
of four: the frames that a level made are the key frames of the next. Runs of a level know nothing
of each other and are dealt to the processes.

Legend: n images of a run, C channels of a latent, F latents, h w latent pixels.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice, pairwise
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from mindlong.data.transforms import fitted
from mindlong.diffusion import known_frames
from mindlong.diffusion.finite import Row
from mindlong.diffusion.guidance import Model, guided
from mindlong.diffusion.sample import count_steps, sample
from mindlong.parallel.comm import Comm, SerialComm
from mindlong.pipelines.clips import stem
from mindlong.pipelines.journal import Journal
from mindlong.pipelines.load_model import load_latent_model
from mindlong.pipelines.previews import Previews
from mindlong.pipelines.results import wanted
from mindlong.utils import arrays, progress, rng

if TYPE_CHECKING:
    from mindlong.config.infer_options.interpolate import InterpolateOptions
    from mindlong.pipelines.interpolate.plan import Work
    from mindlong.pipelines.latent_model import LatentModel

Video = tuple[str, str, Iterator[np.ndarray]]  # name of the files, prompt, frames
Ends = tuple[np.ndarray, np.ndarray]
KEYS = "keys"  # the job that makes key frames where none are given


def videos(
    session: Any, work: Work, belongs: dict[str, Any], comm: Comm | None = None
) -> Iterator[Video]:
    """The videos of a run, one a prompt; frames are made as they are taken, but by several
    processes before, and given by the first one.

    Args:
        belongs: what results depend on, for going on after a stop.
    """
    config, comm = session.config, comm or SerialComm()
    model = load_latent_model(config.weights, config.latent).worded(config)
    prompts, steps = wanted(config), count_steps(config.sample, model.noising)
    for number, prompt in enumerate(prompts):
        name, told = stem(number, len(prompts)), belongs | {"prompt": prompt}
        runs = sum(runs_of(work, level) for level in range(len(work.chain.factors)))
        with progress.bar(runs * steps // comm.size, "denoising", rank=comm.rank) as bar:
            filler = _Filler(session, model, (name, prompt, number), work, told, bar, comm)
            filler.share()
            yield name, prompt, islice(filler.images(filler.last), work.frames)


def runs_of(work: Work, level: int) -> int:
    """Runs of a level that the finished video needs."""
    return -(-(work.frames - 1) // prod(work.chain.factors[level:]))


class _Filler:
    """The frames of one video: `named` is its name, prompt and number."""

    def __init__(
        self,
        session: Any,
        model: LatentModel,
        named: tuple[str, str, int],
        work: Work,
        belongs: dict[str, Any],
        bar: Any,
        comm: Comm,
    ) -> None:
        self.config, self.model, self.work = session.config, model, work
        self.bar, self.comm = bar, comm
        self.name, prompt, self.number = named
        self.own: InterpolateOptions = self.config.interpolate
        self.lengths = [factor + 1 for factor in work.chain.factors]
        self.last = len(self.lengths) - 1
        self.folder = session.folder / "jobs" / stem(self.number, 2)
        self.journal = Journal(self.folder, belongs, comm.rank)
        self.previews = Previews(session, model.decode)
        self.context = model.encode_text([prompt])
        self.null = model.null_text(self.own.negative, self.context)
        model.release("text_encoder")

    def share(self) -> None:
        """Make this process's runs of every level, where there are several processes."""
        if self.comm.size == 1:
            return
        if self.work.source is None:
            if self.comm.rank == 0:
                self._key_latents()
            self._met()
        for level in range(len(self.lengths)):
            for gap, ends in self.gaps(level):
                if gap % self.comm.size == self.comm.rank:
                    self._run(level, gap, ends)
            self._met()

    def _met(self) -> None:
        self.comm.all_gather_text("done")
        self.journal.refresh()

    def gaps(self, level: int) -> Iterator[tuple[int, Ends]]:
        """The gaps of a level that are needed, with the images at their ends."""
        return enumerate(islice(pairwise(self.keys(level)), runs_of(self.work, level)))

    def keys(self, level: int) -> Iterator[np.ndarray]:
        """The images between which a level makes others: those given, or the level before's."""
        if level:
            return self.images(level - 1)
        source = self.work.source
        if source is None:
            return self.model.decode(self._key_latents())
        size = tuple(self.config.size) if self.config.size else source.size
        return (fitted(frame, size) for frame in source.all())

    def images(self, level: int) -> Iterator[np.ndarray]:
        """All frames that there are after a level, uint8 (H, W, 3)."""
        for gap, ends in self.gaps(level):
            made = self.model.decode(self._run(level, gap, ends))
            for place, frame in enumerate(made):
                if place or not gap:  # the last run has given the image where they meet
                    yield self._kept(place, frame, ends, self.lengths[level] - 1)

    def _kept(self, place: int, frame: np.ndarray, ends: Ends, last: int) -> np.ndarray:
        if self.own.pin == "none":
            return frame
        return {0: ends[0], last: ends[1]}.get(place, frame)

    def _key_latents(self) -> np.ndarray:
        """The latents of key frames of which nothing is given but the prompt."""
        size = tuple(self.config.size or self.model.size[1:])
        return self._latents(KEYS, size, self.work.chain.keys, {}, ("between-keys", 0))

    def _run(self, level: int, gap: int, ends: Ends) -> np.ndarray:
        """The latents (C, F, h, w) of one run."""
        title = f"gap-{gap:05d}" if level == 0 else f"level-{level}-gap-{gap:05d}"
        length, place = self.lengths[level], (gap,) if level == 0 else (level, gap)
        given = dict(zip((0, length - 1), ends, strict=True))
        return self._latents(title, ends[0].shape[:2], length, given, ("between", *place))

    def _latents(
        self,
        job: str,
        size: tuple[int, ...],
        length: int,
        given: dict[int, np.ndarray],
        stream: tuple[Any, ...],
    ) -> np.ndarray:
        """What a run makes, from the disk where an earlier one has left it."""
        file = self.folder / f"{job}.npz"
        if job in self.journal:
            try:
                found = arrays.read_npz(file, ["latents"])["latents"]
                self.bar.update(count_steps(self.config.sample, self.model.noising))
                return found
            except arrays.Damaged:
                self.journal.forget(job)
        latents = self._made(f"{self.name}, {job}", size, length, given, stream)
        arrays.write_npz(file, latents=latents)
        self.journal.add(job)
        return latents

    def _made(
        self,
        title: str,
        size: tuple[int, ...],
        length: int,
        given: dict[int, np.ndarray],
        stream: tuple[Any, ...],
    ) -> np.ndarray:
        shape = self.model.latent_shape(length, size[0], size[1])
        kind, *place = stream

        def step_noise(step: int) -> np.ndarray:
            return self._noise(shape, f"{kind}-step", step, *place)[None]

        return sample(
            self.config.sample,
            self._guided(self._hint(shape, length, given, stream)[None]),
            self._noise(shape, kind, *place)[None],
            self.model.noising,
            noise=step_noise,
            callback=self.previews.step(self.bar, title.partition(",")[0], [title]),
            rows=[Row(title)],
        )[0]

    def _hint(
        self,
        shape: tuple[int, ...],
        length: int,
        given: dict[int, np.ndarray],
        stream: tuple[Any, ...],
    ) -> np.ndarray:
        """Mask and known latents (1 + C, F, h, w); zeros where nothing is given."""
        if not given:
            return np.zeros((shape[0] + 1, *shape[1:]), np.float32)
        kind, *place = stream
        images = {
            p: image.astype(np.float32).transpose(2, 0, 1) / 127.5 - 1.0
            for p, image in given.items()
        }
        level, noise = self.own.hint_noise, None
        if level:
            noise = {
                p: level * self._noise(image.shape, f"{kind}-hint", p, *place)
                for p, image in images.items()
            }
        video = known_frames.with_black(images, length, noise)
        latents = self.model.encode_images(video)
        return known_frames.hint(images, length, latents, self.model.vae_spec.scaling)

    def _guided(self, told: np.ndarray) -> Model:
        def under(context: np.ndarray) -> Model:
            return lambda x, t: self.model.predict(x, t, context, None, hint=told)

        s = self.config.sample
        null = under(self.null) if s.guidance != 1 else None
        return guided(under(self.context), null, s.guidance, s.rescale)

    def _noise(self, shape: tuple[int, ...], stream: str, *place: int) -> np.ndarray:
        return rng.normal(shape, self.config.seed, stream, *place, self.number)
