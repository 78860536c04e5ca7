"""The extension pipeline as a run: an image or a video in, more of it out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mindlong.diffusion.sample import count_steps
from mindlong.pipelines.clips import stem
from mindlong.pipelines.extend.make import film, levels, model_of
from mindlong.pipelines.extend.plan import Work, frames_of, work_of
from mindlong.pipelines.interpolate.plan import UNRELATED
from mindlong.pipelines.latents_on_disk import LatentFolder
from mindlong.pipelines.models import Models
from mindlong.pipelines.previews import Previews
from mindlong.pipelines.results import wanted
from mindlong.pipelines.videos import Videos
from mindlong.utils import progress

if TYPE_CHECKING:
    from mindlong.pipelines.latent_model import LatentModel
    from mindlong.pipelines.session import Session


def run(session: Session) -> None:
    """Make the videos of a configuration, one for each prompt, as far as an earlier run has not."""
    config, work = session.config, work_of(session.config)
    model = model_of(Models(), config, work)
    session.log.info(
        "%d frames, continued by %d in %d runs", len(work.given), config.frames, len(work.plan.jobs)
    )
    prompts, videos = wanted(config), Videos(session, work.fps)
    names = [stem(number, len(prompts)) for number in range(len(prompts))]

    def make(name: str) -> None:
        number = names.index(name)
        folder = _made(session, work, model, prompts[number], number, name)
        title = prompts[number] or name
        videos.write(
            name,
            film(config, work, model, folder),
            frames_of(work),
            lambda shown: videos.results.sheet([shown], [title], name),
        )

    videos.deal("videos", names, make)
    facts = {
        "prompts": [{"prompt": prompt} for prompt in prompts],
        "given": len(work.given),
        "added": config.frames,
        "fps": work.fps,
    }
    videos.finish(names, prompts, lambda: facts, sheet=False)


def _made(
    session: Session, work: Work, model: LatentModel, prompt: str, number: int, stem: str
) -> LatentFolder:
    config = session.config
    belongs = session.identity(UNRELATED, prompt=prompt, number=number)
    rank = session.comm.rank
    folder = LatentFolder(session.folder / "jobs" / stem, work.plan, belongs, rank)
    left = sum(not folder.has(job) for job in work.plan.jobs)
    steps = left * count_steps(config.sample, model.noising)
    with progress.bar(steps, "denoising", rank=rank) as bar:
        step = Previews(session, model.decode).step(bar, stem)
        for _ in levels(config, work, model, folder, prompt, number, step):
            pass
    return folder
