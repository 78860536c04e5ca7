"""The extension pipeline as a run: an image or a video in, more of it out."""

from __future__ import annotations

from mindlong.diffusion.sample import count_steps
from mindlong.pipelines.extend.make import film, frames_of, levels, model_of
from mindlong.pipelines.extend.plan import Work, work_of
from mindlong.pipelines.interpolate.plan import UNRELATED
from mindlong.pipelines.latent_model import LatentModel
from mindlong.pipelines.latents_on_disk import LatentFolder
from mindlong.pipelines.models import Models
from mindlong.pipelines.results import Results, stem, wanted
from mindlong.pipelines.session import Session
from mindlong.utils import progress


def run(session: Session) -> None:
    """Make the videos of a configuration, one for each prompt."""
    config, work = session.config, work_of(session.config)
    model = model_of(Models(), config, work)
    session.log.info(
        "%d frames, continued by %d in %d runs", len(work.given), config.frames, len(work.plan.jobs)
    )
    prompts, results = wanted(config), Results(session, work.fps)
    for number, prompt in enumerate(prompts):
        name = stem(number, len(prompts))
        folder = _made(session, work, model, prompt, number, name)
        frames = film(config, work, model, folder)
        kept = results.video(name, frames, frames_of(work))
        results.sheet([kept], [prompt or name], name)
    results.finish({"given": len(work.given), "added": config.frames, "fps": work.fps})


def _made(
    session: Session, work: Work, model: LatentModel, prompt: str, number: int, stem: str
) -> LatentFolder:
    config = session.config
    belongs = session.identity(UNRELATED, prompt=prompt, number=number)
    folder = LatentFolder(session.folder / "jobs" / stem, work.plan, belongs)
    left = sum(not folder.has(job) for job in work.plan.jobs)
    with progress.bar(left * count_steps(config.sample, model.noising), "denoising") as bar:
        step = lambda *_: bar.update(1) and None  # noqa: E731
        for _ in levels(config, work, model, folder, prompt, number, step):
            pass
    return folder
