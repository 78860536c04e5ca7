"""The pixel pipeline as a run: trained weights and prompts in, files and a record out."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from mindlong.checkpoints.find import Trained, find_trained
from mindlong.checkpoints.lora.latent import over_trained
from mindlong.data.source import to_frames
from mindlong.diffusion.sample import sampler_of
from mindlong.pipelines.clips import stem
from mindlong.pipelines.pixel.make import PixelVideo, Request, pipeline_of, requests_of
from mindlong.pipelines.previews import Previews
from mindlong.pipelines.results import wanted
from mindlong.pipelines.videos import Videos
from mindlong.utils import progress
from mindlong.utils.lines import opening_lines

if TYPE_CHECKING:
    from mindlong.config.infer_schema import InferConfig
    from mindlong.pipelines.session import Session


def run(session: Session) -> None:
    """Make the videos of a configuration, as far as an earlier run has not."""
    config: InferConfig = session.config
    trained = over_trained(find_trained(config.weights, "pixel"), config.lora, config.lora_strict)
    prompts, videos = wanted(config), Videos(session)
    requests, pipeline = requests_of(config, trained), pipeline_of(config, trained)
    session.log.info("\n".join(_opening(trained, pipeline, len(requests))))
    sampled = _make(pipeline, requests, min(config.batch, len(requests)), videos)
    names = [_name(request, requests) for request in requests]
    timings = {"sample_s": round(sampled, 2), "resumed": session.resumed}
    videos.finish(
        names, prompts, lambda: _facts(config, trained, pipeline, requests) | {"timings": timings}
    )


def _opening(trained: Trained, pipeline: PixelVideo, videos: int) -> list[str]:
    _, f, h, w = pipeline.shape
    sampler = sampler_of(pipeline.options, pipeline.noising).name
    between = " between two videos" if pipeline.between else ""
    return opening_lines(
        {
            "weights": trained.where,
            "parameters": f"{sum(a.size for a in trained.arrays.values()):,}",
            "plan": f"{videos} videos{between}, {f} frames {h}x{w}, {sampler} {pipeline.count_steps()} steps, guidance "
            f"{pipeline.options.guidance:g}",
        }
    )


def _make(pipeline: PixelVideo, requests: Sequence[Request], size: int, videos: Videos) -> float:
    """Sample and write, a batch at a time, what is not done; returns the seconds of sampling here.

    A batch is whole even where some of it is done: a row's last bits may depend on the others.
    """
    batches = [requests[start : start + size] for start in range(0, len(requests), size)]
    todo = [b for b in batches if not all(videos.is_done(_name(r, requests)) for r in b)]
    share, seconds = -(-len(todo) // videos.comm.size), 0.0
    previews = Previews(videos.session, lambda x0: to_frames(x0[None])[0])
    with progress.bar(pipeline.count_steps() * share, "denoising", rank=videos.comm.rank) as bar:

        def make(batch: Sequence[Request]) -> None:
            nonlocal seconds
            clock = time.monotonic()
            titles = [request.prompt for request in batch]
            step = previews.step(bar, _name(batch[0], requests), titles)
            [(_, made)] = pipeline.batches(batch, size, step)
            seconds += time.monotonic() - clock
            for request, frames in zip(batch, made, strict=True):
                name = _name(request, requests)
                if not videos.is_done(name):
                    videos.write(name, frames, len(frames))

        videos.table.share_out(
            "videos",
            batches,
            make,
            lambda batch: all(videos.is_done(_name(r, requests)) for r in batch),
        )
    videos.journal.refresh()
    return seconds


def _name(request: Request, requests: Sequence[Request]) -> str:
    return stem(request.number, len(requests))


def _facts(
    config: InferConfig, trained: Trained, pipeline: PixelVideo, requests: list[Request]
) -> dict[str, Any]:
    return {
        "prompts": [{"prompt": r.prompt, "seed": r.seed, "number": r.number} for r in requests],
        "plan": {
            "shape_CFHW": list(pipeline.shape),
            "sampler": sampler_of(config.sample, pipeline.noising).name,
            "steps": pipeline.count_steps(),
            "eta": config.sample.eta,
            "guidance": config.sample.guidance,
            "prediction": pipeline.noising.prediction,
            "between": list(config.pixel.interpolate),
        },
        "weights": {"asked": config.weights, "found": trained.where.name},
    }
