"""The interpolation pipeline as a run: key frames from a video, images, latents or prompts; a
longer, smoother video out.

Legend: B videos or windows, F frames, K key frames, C channels, h w latent pixels.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mindlong.diffusion.sample import count_steps
from mindlong.media.audio import keep_sound
from mindlong.parallel.comm import Comm, SerialComm
from mindlong.pipelines.clips import stem
from mindlong.pipelines.interpolate import between
from mindlong.pipelines.interpolate.between_plan import reads_both_ends
from mindlong.pipelines.interpolate.images import ImageStage
from mindlong.pipelines.interpolate.make import Stage, decoded
from mindlong.pipelines.interpolate.networks import Networks
from mindlong.pipelines.interpolate.plan import UNRELATED, Work, work_of
from mindlong.pipelines.interpolate.videos import chained, detailed, filled, model_of
from mindlong.pipelines.latents_on_disk import LatentFolder
from mindlong.pipelines.models import Models
from mindlong.pipelines.previews import Previews
from mindlong.pipelines.results import Results, wanted
from mindlong.utils import progress

if TYPE_CHECKING:
    from mindlong.pipelines.session import Session

Video = tuple[str, str, Iterator[np.ndarray]]  # name of the files, prompt, frames


def run(session: Session) -> None:
    """Make the videos of a configuration."""
    work = work_of(session.config)
    comm = getattr(session, "comm", None) or SerialComm()
    videos = _videos(session, work, comm)
    results, sounds, prompts = Results(session, work.rate), [], []
    for name, prompt, frames in videos:
        prompts.append({"prompt": prompt})
        if comm.rank == 0:  # every process makes latents, the first one writes
            sounds += _write(results, work, name, prompt, frames)
    if work.source:
        work.source.close()
    if comm.rank == 0:
        results.finish(_facts(session.config, work, prompts) | {"sound": sounds})


def _videos(session: Session, work: Work, comm: Comm) -> Iterator[Video]:
    config = session.config
    if config.interpolate.method != "diffusion":
        return iter([_filled(session, work)])
    if config.weights and reads_both_ends(config):
        made = between.videos(session, work, session.identity(UNRELATED), comm)
    else:
        made = _chains(session, work, comm)
    return ((name, prompt, detailed(config, work, frames)) for name, prompt, frames in made)


def _facts(config: Any, work: Work, prompts: list[dict[str, str]]) -> dict[str, Any]:
    return {
        "prompts": prompts,
        "method": config.interpolate.method,
        "key_frames": work.chain.keys,
        "factors": list(work.chain.factors),
        "frames": work.frames,
        "fps": work.rate,
    }


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
    return "video", "", _shown(filled(session.config, work), work.frames)


def _shown(frames: Iterator[np.ndarray], total: int) -> Iterator[np.ndarray]:
    with progress.bar(total, "frames", unit="frame") as bar:
        for frame in frames:
            yield frame
            bar.update(1)


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
    config, networks = session.config, Networks(session.config, Models())
    model, prompts = model_of(config, networks), wanted(config)
    for number, prompt in enumerate(prompts):
        name = stem(number, len(prompts))
        with _Bar(comm.rank) as bar:
            step = Previews(session, model.decode).step(bar, name)
            one = chained(config, work, networks, prompt, number, step)
            if not number:
                first = {"weights": config.weights, "pin": config.interpolate.pin}
                session.open_with(first, one.plan.describe())
            belongs = session.identity(UNRELATED, prompt=prompt, number=number)
            folder = LatentFolder(session.folder / "jobs" / name, one.plan, belongs, comm.rank)
            bar.begin(_steps(one.plan, one.stages, config, work, folder) // comm.size)
            for _ in one.levels(folder, comm):
                pass
        yield name, prompt, decoded(model, folder)


def _steps(plan: Any, stages: list[Stage], config: Any, work: Work, folder: LatentFolder) -> int:
    """Denoising steps still to do."""
    total = 0
    for level, jobs in plan.levels():
        left = sum(not folder.has(job) for job in jobs)
        if level:
            gaps = max((len(job.known) - 1 for job in jobs), default=1)
            each = gaps if isinstance(stages[level - 1], ImageStage) else 1
            total += (
                each
                * -(-left // config.batch)
                * count_steps(config.sample, stages[level - 1].noising)
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

    def update(self, more: int) -> None:
        """So many more."""
        if self.bar is not None:
            self.bar.update(more)

    def __exit__(self, *_: Any) -> None:
        if self.bar is not None:
            self.bar.close()
