"""The extension pipeline as a run: a picture or a video in, more of it out.

Legend: F frames, C channels, h w latent pixels.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np

from mindlong.checkpoints.latent_parts import parts_of
from mindlong.data.transforms import fitted
from mindlong.diffusion.hints import Rule
from mindlong.diffusion.sample import count_steps
from mindlong.diffusion.samplers.loop import Callback
from mindlong.pipelines.extend.plan import Work, check_hints, size_of, work_of
from mindlong.pipelines.interpolate.make import HintedRuns, Stage, decoded
from mindlong.pipelines.interpolate.networks import predictor
from mindlong.pipelines.interpolate.plan import UNRELATED, is_hinted
from mindlong.pipelines.interpolate.trained_rule import trained_rule
from mindlong.pipelines.jobs import run_plan
from mindlong.pipelines.latent_model import LatentModel, from_parts
from mindlong.pipelines.latents_on_disk import LatentFolder
from mindlong.pipelines.results import Results, stem, wanted
from mindlong.pipelines.session import Session
from mindlong.utils import progress, rng


def run(session: Session) -> None:
    """Make the videos of a configuration, one for each prompt."""
    config, work = session.config, work_of(session.config)
    model = from_parts(parts_of(config), config.latent)
    check_hints(work, is_hinted(model.spec, model.vae_spec.latent_channels))
    session.log.info(
        "%d frames, continued by %d in %d runs", len(work.given), config.frames, len(work.plan.jobs)
    )
    prompts, results = wanted(config), Results(session, work.fps)
    for number, prompt in enumerate(prompts):
        name = stem(number, len(prompts))
        folder = _made(session, work, model, prompt, number, name)
        before = work.video.count - len(work.given) if work.video else 0
        film = _film(session.config, work, model, folder, before)
        kept = results.video(name, film, before + work.plan.frames)
        results.sheet([kept], [prompt or name], name)
    results.finish({"given": len(work.given), "added": config.frames, "fps": work.fps})


def _made(
    session: Session, work: Work, model: LatentModel, prompt: str, number: int, stem: str
) -> LatentFolder:
    config, o = session.config, session.config.extend
    size = size_of(config, work.given)
    channels, _, *rest = model.latent_shape(1, *size)
    folder = LatentFolder(
        session.folder / "jobs" / stem,
        work.plan,
        session.identity(UNRELATED, prompt=prompt, number=number),
    )
    noise = [
        rng.normal((channels, *rest), config.seed, "extend-encode", number, k)
        for k in range(len(work.given))
    ]
    given = np.stack([fitted(frame, size) for frame in work.given])
    folder.give(
        model.encode(given, np.stack(noise) if o.encode == "sample" else None).transpose(1, 0, 2, 3)
    )
    left = sum(not folder.has(job) for job in work.plan.jobs)
    with progress.bar(left * count_steps(config.sample, model.noising), "denoising") as bar:
        stages = [
            _stage(config, work, model, prompt, level, lambda *_: bar.update(1) and None)
            for level in (0, 1)
        ]
        runs = HintedRuns(
            lambda level: stages[min(level, 1)],
            10**9,
            lambda level: work.fps,
            work.inside,
            config.seed,
            number,
        )
        for _ in run_plan(work.plan, folder, runs, (channels, *rest)):
            pass
    return folder


def _stage(
    config: Any, work: Work, model: LatentModel, prompt: str, level: int, callback: Callback
) -> Stage:
    """The first run is told real frames; later ones frames that the network made, which may get
    noise.
    """
    o, trained = config.extend, trained_rule(config.weights)
    rule = Rule(
        o.hint or trained.hint,
        o.mask or trained.mask,
        "each_step" if work.inside else "none",
        o.hint_noise if level else 0.0,
        o.shared_noise,
    )
    hinted = is_hinted(model.spec, model.vae_spec.latent_channels)
    return Stage(
        predictor(model, prompt, config.sample),
        model.noising,
        rule,
        config.sample,
        hinted,
        callback,
    )


def _film(
    config: Any, work: Work, model: LatentModel, folder: LatentFolder, before: int
) -> Iterator[np.ndarray]:
    """The video's own frames as they are, then the given ones and those added."""
    if work.video:
        size = size_of(config, work.given)
        yield from (fitted(frame, size) for frame in itertools.islice(work.video.all(), before))
    yield from decoded(model, folder)
