"""The pixel pipeline as a run: trained weights and prompts in, files and a record out."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from mindlong.checkpoints.find import Trained, find_trained
from mindlong.checkpoints.lora.latent import over_trained
from mindlong.config.infer_schema import InferConfig
from mindlong.diffusion.sample import sampler_of
from mindlong.pipelines.pixel.make import PixelVideo, Request, pipeline_of, requests_of
from mindlong.pipelines.results import Results, stem, wanted
from mindlong.pipelines.session import Session
from mindlong.utils import progress
from mindlong.utils.lines import opening_lines


def run(session: Session) -> None:
    """Make the videos of a configuration."""
    config: InferConfig = session.config
    trained = over_trained(find_trained(config.weights, "pixel"), config.lora, config.lora_strict)
    prompts, results = wanted(config), Results(session)
    requests, pipeline = requests_of(config, trained), pipeline_of(config, trained)
    session.log.info("\n".join(_opening(trained, pipeline, len(requests))))
    videos = _sample(pipeline, requests, min(config.batch, len(requests)))
    sampled = time.monotonic() - results.clock
    rows = [
        results.video(stem(number, len(videos)), video, len(video))
        for number, video in enumerate(videos)
    ]
    results.sheet(rows, prompts)
    facts = _facts(config, trained, pipeline, requests)
    results.finish(facts | {"timings": {"load_and_sample_s": round(sampled, 2)}})


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


def _sample(pipeline: PixelVideo, requests: list[Request], batch: int) -> list[np.ndarray]:
    rounds = -(-len(requests) // batch)
    videos: list[np.ndarray] = []
    with progress.bar(pipeline.count_steps() * rounds, "denoising") as bar:
        for _, frames in pipeline.batches(requests, batch, lambda *_: bar.update(1) and None):
            videos.extend(frames)
    return videos


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
