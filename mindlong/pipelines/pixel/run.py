"""The pixel pipeline as a run: trained weights and prompts in, files and a record out."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from mindlong.checkpoints.find import Trained, find_trained
from mindlong.checkpoints.load import load_into
from mindlong.config.infer_schema import InferConfig
from mindlong.config.schema import TrainConfig
from mindlong.diffusion.schedules import cosine
from mindlong.networks import table
from mindlong.networks.network import made
from mindlong.pipelines.pixel.make import PixelVideo, Plan, Request
from mindlong.pipelines.results import Results, stem, wanted
from mindlong.pipelines.session import Session
from mindlong.utils import progress
from mindlong.utils.lines import opening_lines


def run(session: Session) -> None:
    """Make the videos of a configuration."""
    config: InferConfig = session.config
    trained = find_trained(config.weights)
    prompts, results = wanted(config), Results(session)
    requests = [Request(prompt, config.seed, number) for number, prompt in enumerate(prompts)]
    plan = _plan(config, trained.config)
    session.log.info("\n".join(_opening(trained, plan, len(requests))))
    videos = _sample(_pipeline(trained), requests, plan, min(config.batch, len(requests)))
    sampled = time.monotonic() - results.clock
    rows = [
        results.video(stem(number, len(videos)), video, len(video))
        for number, video in enumerate(videos)
    ]
    results.sheet(rows, prompts)
    facts = _facts(config, trained, plan, requests)
    results.finish(facts | {"timings": {"load_and_sample_s": round(sampled, 2)}})


def _plan(config: InferConfig, trained: TrainConfig) -> Plan:
    size = config.size or trained.data.size
    s = config.sample
    return Plan(
        (trained.model.channels, config.frames or trained.data.frames, *size),
        s.sampler,
        s.steps,
        s.eta,
        s.guidance,
        s.dynamic_threshold,
        trained.diffusion.prediction,
        s.flavour,
        s.spacing,
        s.rescale,
    )


def _pipeline(trained: Trained) -> PixelVideo:
    model = trained.config.model
    network = made(table.get(model.family, "network").denoiser.conditioned)(model)
    load_into(network, trained.arrays)
    return PixelVideo(network, cosine(trained.config.diffusion.timesteps))


def _opening(trained: Trained, plan: Plan, videos: int) -> list[str]:
    c, f, h, w = plan.shape
    return opening_lines(
        {
            "weights": trained.where,
            "parameters": f"{sum(a.size for a in trained.arrays.values()):,}",
            "plan": f"{videos} videos, {f} frames {h}x{w}, {plan.sampler} {plan.steps} steps, guidance {plan.guidance:g}",
        }
    )


def _sample(
    pipeline: PixelVideo, requests: list[Request], plan: Plan, batch: int
) -> list[np.ndarray]:
    rounds = -(-len(requests) // batch)
    videos: list[np.ndarray] = []
    with progress.bar(pipeline.count_steps(plan) * rounds, "denoising") as bar:
        for _, frames in pipeline.batches(requests, plan, batch, lambda *_: bar.update(1) and None):
            videos.extend(frames)
    return videos


def _facts(
    config: InferConfig, trained: Trained, plan: Plan, requests: list[Request]
) -> dict[str, Any]:
    return {
        "prompts": [{"prompt": r.prompt, "seed": r.seed, "number": r.number} for r in requests],
        "plan": {
            "shape_CFHW": list(plan.shape),
            "sampler": plan.sampler,
            "steps": plan.steps,
            "eta": plan.eta,
            "guidance": plan.guidance,
            "prediction": plan.prediction,
        },
        "weights": {"asked": config.weights, "found": trained.where.name},
    }
