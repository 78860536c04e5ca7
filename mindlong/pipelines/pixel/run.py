"""The pixel pipeline as a run: trained weights and prompts in, files and a record out."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np

from mindlong.checkpoints.find import Trained, find_trained
from mindlong.checkpoints.load import load_into
from mindlong.config.infer_schema import InferConfig
from mindlong.config.schema import TrainConfig
from mindlong.diffusion.schedules import cosine
from mindlong.media.sheet import write_contact_sheet
from mindlong.networks.unet3d.conditioned import ConditionedUnet3D
from mindlong.pipelines.files import write_files
from mindlong.pipelines.pixel.make import PixelVideo, Plan, Request
from mindlong.pipelines.session import Session
from mindlong.utils import progress
from mindlong.utils.lines import opening_lines


def run(session: Session) -> None:
    """Make the videos of a configuration."""
    config: InferConfig = session.config
    trained = find_trained(config.weights)
    wanted = [prompt for prompt in config.wanted_prompts() or [""] for _ in range(config.count)]
    requests = [Request(prompt, config.seed, number) for number, prompt in enumerate(wanted)]
    plan = _plan(config, trained.config)
    session.log.info("\n".join(_opening(trained, plan, len(requests))))
    clock = time.monotonic()
    videos = _sample(_pipeline(trained), requests, plan, min(config.batch, len(requests)))
    sampled = time.monotonic() - clock
    files = _write(session.folder, videos, requests, config)
    session.write_record(
        _record(config, trained, plan, requests, files, {"load_and_sample_s": round(sampled, 2)})
    )
    for path in files:
        session.log.info("  %s", path.resolve())


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
    network = ConditionedUnet3D(trained.config.model)
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


def _write(
    folder: Path, videos: list[np.ndarray], requests: list[Request], config: InferConfig
) -> list[Path]:
    files: list[Path] = []
    for i, video in enumerate(videos):
        stem = f"video-{i:03d}" if len(videos) > 1 else "video"
        files += write_files(folder, stem, video, config.formats, config.fps, config.scale)
    if "png" in config.formats:
        enlarged = [v.repeat(config.scale, axis=1).repeat(config.scale, axis=2) for v in videos]
        files.append(
            write_contact_sheet(
                folder / "contact_sheet.png", enlarged, [r.prompt for r in requests]
            )
        )
    return files


def _record(
    config: InferConfig,
    trained: Trained,
    plan: Plan,
    requests: list[Request],
    files: list[Path],
    timings: dict[str, float],
) -> dict[str, object]:
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
        "files": [p.name for p in files],
        "timings": timings,
    }
