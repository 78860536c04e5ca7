"""The hierarchical pipeline as a run: prompts, images or a video in, a long video out. Level by
level; a rerun goes on.

Legend: F frames, C channels, h w latent pixels, H W pixels.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mindlong.diffusion.sample import count_steps, sampler_of
from mindlong.media.write import write_video
from mindlong.pipelines.claimed import claimed
from mindlong.pipelines.clips import stem
from mindlong.pipelines.hierarchical import in_images
from mindlong.pipelines.hierarchical.images import without_branch
from mindlong.pipelines.hierarchical.make import (
    decoded,
    film,
    given_latents,
    levels,
    networks_of,
    samples_of,
)
from mindlong.pipelines.hierarchical.plan import Work, shown, work_of
from mindlong.pipelines.interpolate import between
from mindlong.pipelines.interpolate.between_plan import reads_both_ends
from mindlong.pipelines.jobs import level_batches, of_interest
from mindlong.pipelines.journal import OF_NO_LATENT
from mindlong.pipelines.latents_on_disk import LatentFolder
from mindlong.pipelines.models import Models
from mindlong.pipelines.previews import Previews
from mindlong.pipelines.results import Results, wanted
from mindlong.utils import progress
from mindlong.utils.errors import UserError
from mindlong.utils.run_folder import LEVELS

if TYPE_CHECKING:
    from mindlong.parallel.comm import Comm
    from mindlong.pipelines.hierarchical.controlled_model import ControlledModel
    from mindlong.pipelines.image_model import ImageModel
    from mindlong.pipelines.latent_model import LatentModel
    from mindlong.pipelines.session import Session

UNRELATED = {  # keys that change no latent
    "": OF_NO_LATENT,
    "hierarchical": ("level_videos", "part"),
}


def run(session: Session) -> None:
    """Make the videos of a configuration."""
    place = session.config.hierarchical.work
    with claimed(place, session.comm) if place else nullcontext():
        _run(session)


def _run(session: Session) -> None:
    config, comm = session.config, session.comm
    if reads_both_ends(config):
        _in_images(session)
        return
    work, by = work_of(config), networks_of(Models(), config)
    model = by[-1]
    session.open_with(_opening(config, model), work.plan.describe())
    prompts, results, timings = wanted(config), Results(session), []
    for number, prompt in enumerate(prompts):
        name, start = stem(number, len(prompts)), time.monotonic()
        folder = _made(session, work, by, prompt, number, name, comm)
        timings.append(round(time.monotonic() - start, 2))
        if comm.rank == 0:  # every process makes latents, the first one writes
            frames = film(config, work, model.latent, folder)
            kept = results.video(name, frames, work.frames, bar="decoding")
            results.sheet([kept], [shown(config, prompt) or name], name)
            (session.folder / f"{name}-partial.mp4").unlink(missing_ok=True)
    for video in filter(None, (work.source, work.keys)):
        video.close()
    if comm.rank == 0:
        results.finish(_facts(config, work, prompts) | {"timings": {"runs_s": timings}})


def _in_images(session: Session) -> None:
    """By a network whose levels meet in images."""
    config, work = in_images.work(session.config)
    inside = replace(session, loaded=replace(session.loaded, values=config))
    results, prompts = Results(session, work.rate), []
    belongs = session.identity(UNRELATED)
    for name, prompt, frames in between.videos(inside, work, belongs, session.comm):
        prompts.append(prompt)
        if session.comm.rank == 0:
            kept = results.video(name, frames, work.frames)
            results.sheet([kept], [prompt or name], name)
    if session.comm.rank == 0:
        lengths = [work.chain.keys, *(factor + 1 for factor in work.chain.factors)]
        results.finish({"prompts": prompts, "lengths": lengths, "frames": work.frames})


def _made(
    session: Session,
    work: Work,
    by: Sequence[ControlledModel | ImageModel],
    prompt: str,
    number: int,
    stem: str,
    comm: Comm,
) -> LatentFolder:
    """Every run of one video that is not done yet, level 0 by the first of `by`, those below by the
    last.
    """
    config, o, model = session.config, session.config.hierarchical, by[-1]
    place = Path(o.work) / stem if o.work else session.folder / "jobs" / stem
    folder = LatentFolder(place, work.plan, identity(session, prompt, number), comm.rank)
    if work.plan.given and comm.rank == 0:
        folder.give(given_latents(config, work, model.latent))
    comm.all_gather_text("")
    folder.refresh()
    with progress.bar(_steps(work, config, by, folder, comm), "denoising", rank=comm.rank) as bar:
        try:
            for level in levels(
                config,
                work,
                by,
                folder,
                prompt,
                number,
                Previews(session, model.latent.decode).step(bar, stem),
                comm,
            ):
                if _shown(o, work, level) and comm.rank == 0:
                    _level_video(session, work, model.latent, folder, level, stem)
        except (KeyboardInterrupt, UserError):
            if comm.rank == 0:
                _keep_what_there_is(session, model.latent, folder, stem)
            raise
    return folder


def _shown(o: Any, work: Work, level: int) -> bool:
    """Whether a level that is done gets a video: not the last, not of a part, and not where runs
    only follow one another.
    """
    levels = {job.level for job in work.plan.jobs}
    wanted = o.level_videos and o.order == "hierarchy" and work.only is None
    return wanted and level in levels and level < max(levels)


def identity(session: Session, prompt: str, number: int) -> dict[str, Any]:
    """What the latents of a video depend on."""
    config = session.config
    return session.identity(
        UNRELATED,
        prompt=prompt,
        number=number,
        seed=config.seed,
        frames=config.frames,
        lengths=list(config.hierarchical.lengths),
    )


def _steps(
    work: Work,
    config: Any,
    by: Sequence[ControlledModel | ImageModel],
    folder: LatentFolder,
    comm: Comm,
) -> int:
    """Denoising steps that this process still has to do."""
    left, samples = 0, samples_of(config)
    for level, jobs in work.plan.levels():
        batches = of_interest(level_batches(jobs, config.batch), work.only)[comm.rank :: comm.size]
        noising = by[min(level, len(by) - 1)].latent.noising
        steps = count_steps(samples[min(level, len(samples) - 1)], noising)
        left += steps * sum(not all(folder.has(job) for job in batch.jobs) for batch in batches)
    return left


def _level_video(
    session: Session, work: Work, model: LatentModel, folder: LatentFolder, level: int, stem: str
) -> None:
    """The frames that are there after a level, at the speed of the finished video."""
    path = session.folder / LEVELS / f"{stem}-level-{level}.mp4"
    if path.exists():
        return
    step = min(
        b - a
        for job in work.plan.jobs
        if job.level == level
        for a, b in zip(job.frames, job.frames[1:], strict=False)
    )
    numbers = range(0, work.plan.frames, step)
    write_video(
        path,
        _Frames(decoded(model, folder, numbers), len(numbers)),
        max(session.config.fps / step, 1.0),
    )
    session.log.info(
        "level %d is done: %d of %d frames, %s", level, len(numbers), work.plan.frames, path
    )


def _keep_what_there_is(
    session: Session, model: LatentModel, folder: LatentFolder, stem: str
) -> None:
    """The frames from the first to the one before the first that is missing, as a video, where
    there are some.
    """
    count = next(
        (f for f in range(folder.plan.frames) if not folder.has_frame(f)), folder.plan.frames
    )
    if count > 1:
        path = session.folder / f"{stem}-partial.mp4"
        write_video(path, _Frames(decoded(model, folder, range(count)), count), session.config.fps)
        session.log.info(
            "stopped; the first %d frames are in %s, and the same command goes on", count, path
        )


class _Frames:
    """Frames that come one by one but whose number is known."""

    def __init__(self, frames: Iterator[np.ndarray], count: int) -> None:
        self.frames, self.count = frames, count

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[np.ndarray]:
        return self.frames


def _opening(config: Any, model: ControlledModel | ImageModel) -> dict[str, object]:
    return {
        "weights": config.weights,
        "branch": model.control or without_branch(model.latent.denoises.images),
        "sampling": "; then ".join(
            f"{sampler_of(s, model.latent.noising).name} {s.steps} steps, guidance {s.guidance:g}"
            for s in samples_of(config)
        )
        + f"; pin {config.hierarchical.pin}",
    }


def _facts(config: Any, work: Work, prompts: list[str]) -> dict[str, Any]:
    return {
        "prompts": [shown(config, prompt) for prompt in prompts],
        "lengths": list(work.lengths),
        "frames": work.frames,
        "runs": len(work.plan.jobs),
        "given": len(work.plan.given),
    }
