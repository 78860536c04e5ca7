"""The interpolation pipeline as a run: key frames from a video, pictures, latents or prompts; a
longer, smoother video out.

Legend: B videos or windows, F frames, K key frames, C channels, h w latent pixels.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from mindlong.data.flow import fill_between, method
from mindlong.data.transforms import covering_size, crop, resize
from mindlong.diffusion.finite import Row
from mindlong.diffusion.sample import count_steps, sample
from mindlong.media.audio import keep_sound
from mindlong.parallel.comm import Comm, SerialComm
from mindlong.pipelines.interpolate.make import Stage, chain_of, finished, run_chain
from mindlong.pipelines.interpolate.networks import Networks, predictor
from mindlong.pipelines.interpolate.plan import HINTED_MAKER, Work, is_hinted, work_of
from mindlong.pipelines.jobs import Batch
from mindlong.pipelines.latent_model import LatentModel
from mindlong.pipelines.latents_on_disk import LatentFolder
from mindlong.pipelines.results import Results, stem, wanted
from mindlong.pipelines.session import Session
from mindlong.plans.chain import place
from mindlong.utils import progress, rng
from mindlong.utils.errors import ConfigError
from mindlong.utils.lines import opening_lines

UNRELATED = {  # keys that change no latent
    "": ("env", "formats", "scale", "batch", "count", "prompts", "prompt"),
}


def run(session: Session) -> None:
    """Make the videos of a configuration."""
    config, work = session.config, work_of(session.config)
    comm = getattr(session, "comm", None) or SerialComm()
    videos = (
        [_filled(session, work)]
        if config.interpolate.method != "diffusion"
        else _chains(session, work, comm)
    )
    results, sounds, prompts = Results(session, work.rate), [], []
    for name, prompt, frames in videos:
        prompts.append({"prompt": prompt})
        if comm.rank == 0:  # every process makes latents, the first one writes
            sounds += _write(results, work, name, prompt, frames)
    if work.source:
        work.source.close()
    if comm.rank == 0:
        results.finish(_facts(session.config, work, prompts) | {"sound": sounds})


def _facts(config: Any, work: Work, prompts: list[dict[str, str]]) -> dict[str, Any]:
    return {
        "prompts": prompts,
        "method": config.interpolate.method,
        "key_frames": work.chain.keys,
        "factors": list(work.chain.factors),
        "frames": work.frames,
        "fps": work.rate,
    }


Video = tuple[str, str, Iterator[np.ndarray]]  # name of the files, prompt, frames


def _filled(session: Session, work: Work) -> Video:
    """Without a network: frames go from the reader to the writer, two key frames in memory."""
    o = session.config.interpolate
    session.log.info(
        "%d key frames of %dx%d from %s; %s puts %d between each two",
        work.chain.keys,
        *work.source.size,
        work.source.where,
        o.method,
        prod(o.stages()) - 1,
    )
    keys = _sized(work.source.all(), session.config.size)
    made = fill_between(keys, prod(o.stages()), method(o.method))
    return "video", "", _shown(itertools.islice(made, work.frames), work.frames)


def _shown(frames: Iterator[np.ndarray], total: int) -> Iterator[np.ndarray]:
    with progress.bar(total, "frames", unit="frame") as bar:
        for frame in frames:
            yield frame
            bar.update(1)


def _sized(frames: Iterator[np.ndarray], size: list[int]) -> Iterator[np.ndarray]:
    return (fitted(frame, tuple(size)) for frame in frames) if size else frames


def fitted(frame_HWC: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """A frame at (height, width) `size`: resized until it covers it, its middle cut out."""
    covering = resize(frame_HWC, covering_size(frame_HWC.shape[:2], size))
    return crop(covering[None], size)[0]


def _write(
    results: Results, work: Work, name: str, prompt: str, frames: Iterator[np.ndarray]
) -> list[str]:
    """The files of one video; returns sentences on its sound."""
    before = len(results.files)
    kept = results.video(name, frames, work.frames)
    said = _sound(work, results.files[before:])
    for sentence in said:
        results.session.log.info("%s", sentence)
    results.sheet([kept], [prompt or name], name)
    return said


def _sound(work: Work, files: list[Path]) -> list[str]:
    """Take the source's sound over; its length is right where the result runs at the source's own
    speed.
    """
    if not work.source or not work.source.sound:
        return []
    seconds, natural = work.frames / work.rate, work.frames / work.natural
    done = [
        keep_sound(path, work.source.sound, seconds, natural, 1 / work.source.fps) for path in files
    ]
    return [sound.sentence for sound in done if sound]


def _chains(session: Session, work: Work, comm: Comm) -> Iterator[Video]:
    config, networks = session.config, Networks(session.config)
    o, model = (
        config.interpolate,
        networks.model((config.interpolate.stage_weights or [config.weights])[-1]),
    )
    prompts = wanted(config)
    for number, prompt in enumerate(prompts):
        name = stem(number, len(prompts))
        with _Bar(comm.rank) as bar:
            stages = networks.stages(prompt, bar.step)
            chain, plan = chain_of(work.chain, stages)
            shape = _latent_shape(config, work, model)
            if not number:
                session.log.info(
                    "\n".join(
                        [
                            *opening_lines({"weights": config.weights, "pin": o.pin}),
                            *plan.describe(),
                        ]
                    )
                )
            belongs = session.identity(UNRELATED, prompt=prompt, number=number)
            folder = LatentFolder(session.folder / "jobs" / name, plan, belongs, comm.rank)
            keys = _keys(config, work, networks, prompt, number, shape, bar.step)
            bar.begin(_steps(plan, stages, config, work, folder) // comm.size)
            levels = run_chain(
                chain,
                stages,
                keys,
                folder,
                (shape[0], *shape[2:]),
                fps=work.rate,
                seed=config.seed,
                number=number,
                rows=config.batch,
                comm=comm,
            )
            for _ in levels:
                pass
        yield name, prompt, decoded(model, folder)


def _latent_shape(config: Any, work: Work, model: LatentModel) -> tuple[int, ...]:
    """(C, K, h, w) of the key frames."""
    if work.latents is not None:
        return work.latents.shape
    size = config.size or (work.source.size if work.source else model.size[1:])
    return model.latent_shape(work.chain.keys, *size)


def _keys(
    config: Any,
    work: Work,
    networks: Networks,
    prompt: str,
    number: int,
    shape: tuple[int, ...],
    callback: Callable,
):
    """The work of level 0: (batch, _) -> (B, K, C, h, w)."""
    o, step, total = config.interpolate, work.chain.step(0), work.chain.total
    given = work.source is not None or work.latents is not None
    last = (o.stage_weights or [config.weights])[-1]  # it decodes, so it encodes too
    model = networks.model(last if given else o.key_weights or config.weights)

    def numbers(batch: Batch, row: int) -> list[int]:
        return [place(f, total) // step for f in batch.jobs[row].frames]

    def encoded(which: list[int]) -> np.ndarray:
        size = tuple(config.size or work.source.size)
        frames = np.stack([fitted(f, size) for f in work.source.take(which[0], which[-1] + 1)])
        noise = [
            rng.normal((shape[0], *shape[2:]), config.seed, "interpolate-encode", number, k)
            for k in which
        ]
        return model.encode(frames, np.stack(noise) if o.encode == "sample" else None).transpose(
            1, 0, 2, 3
        )

    def made(which: list[int]) -> np.ndarray:
        if is_hinted(model.spec, shape[0]):
            raise ConfigError(HINTED_MAKER)
        predict, rate = predictor(model, prompt, config.sample), work.rate / step * o.key_stride
        whole = (shape[0], (work.chain.keys - 1) * o.key_stride + 1, *shape[2:])

        def draw(*stream):
            return rng.normal(whole, config.seed, "interpolate-keys", *stream, number)[None]

        latents = sample(
            config.sample,
            lambda x, t: predict(x, t, rate),
            draw("start"),
            model.noising,
            noise=lambda i: draw("step", i),
            callback=callback,
            rows=[Row(f"the key frames of {prompt!r}")],
        )
        return latents[0].transpose(1, 0, 2, 3)[:: o.key_stride][which]

    def made_of(which: list[int]) -> np.ndarray:
        if work.latents is not None:
            return work.latents.transpose(1, 0, 2, 3)[which]
        return (encoded if work.source else made)(which)

    def work_on(batch: Batch, known: np.ndarray) -> np.ndarray:
        parts = {
            job.name: numbers(batch, row) for row, job in enumerate(batch.jobs)
        }  # rows that only fill up are no work
        ready = {name: made_of(which) for name, which in parts.items()}
        return np.stack([ready[job.name] for job in batch.jobs])

    return work_on


def _steps(plan: Any, stages: list[Stage], config: Any, work: Work, folder: LatentFolder) -> int:
    """Denoising steps still to do."""
    total = 0
    for level, jobs in plan.levels():
        left = sum(not folder.has(job) for job in jobs)
        if level:
            total += -(-left // config.batch) * count_steps(
                config.sample, stages[level - 1].noising
            )
        elif not work.source and work.latents is None:
            total += left * count_steps(config.sample, stages[0].noising)
    return total


def decoded(model: LatentModel, folder: LatentFolder) -> Iterator[np.ndarray]:
    """The finished video's frames, a few latents in memory at a time."""
    for latents in finished(folder, model.chunk):
        yield from model.decode(latents.transpose(1, 0, 2, 3))


class _Bar(AbstractContextManager):
    """A progress bar whose length is known after the networks are."""

    def __init__(self, rank: int) -> None:
        self.bar, self.rank = None, rank

    def begin(self, total: int) -> None:
        """Show it."""
        self.bar = progress.bar(total, "denoising", rank=self.rank)

    def step(self, *_: Any) -> None:
        """One more."""
        if self.bar is not None:
            self.bar.update(1)

    def __exit__(self, *_: Any) -> None:
        if self.bar is not None:
            self.bar.close()
