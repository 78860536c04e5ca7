"""The interpolation pipeline as a run: key frames from a video, images, latents or prompts; a
longer, smoother video out.

Legend: B videos or windows, F frames, K key frames, C channels, h w latent pixels.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import AbstractContextManager
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from mindlong.data.flow import fill_between, method
from mindlong.data.transforms import fitted
from mindlong.diffusion.sample import count_steps
from mindlong.media.audio import keep_sound
from mindlong.parallel.comm import Comm, SerialComm
from mindlong.pipelines.interpolate.first_level import KeyFrames
from mindlong.pipelines.interpolate.make import Stage, chain_of, decoded, run_chain
from mindlong.pipelines.interpolate.networks import Networks
from mindlong.pipelines.interpolate.plan import UNRELATED, Work, work_of
from mindlong.pipelines.latent_model import LatentModel
from mindlong.pipelines.latents_on_disk import LatentFolder
from mindlong.pipelines.results import Results, stem, wanted
from mindlong.pipelines.session import Session
from mindlong.utils import progress
from mindlong.utils.lines import opening_lines


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
            keys = KeyFrames(config, work, networks, prompt, number, shape, bar.step)
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
