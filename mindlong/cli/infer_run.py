"""The part of infer.py that needs MindSpore: load, sample, write."""

from __future__ import annotations

import json
import platform
import re
import time
from pathlib import Path

import mindspore
import numpy as np

from mindlong import __version__
from mindlong.checkpoints.load import load_into
from mindlong.cli.common import opening_lines
from mindlong.cli.infer import prompts_of
from mindlong.config.load import Loaded
from mindlong.config.schema import InferConfig, TrainConfig
from mindlong.diffusion.schedules import cosine
from mindlong.media.sheet import write_contact_sheet
from mindlong.media.write import write_frames, write_video
from mindlong.models.conditioned import ConditionedUnet3D
from mindlong.ops import device
from mindlong.pipelines.pixel_video import PixelVideo, Plan, Request
from mindlong.pipelines.weights import Trained, find_trained
from mindlong.utils import atomic, log, progress

ENCODED = ("mp4", "gif", "webm")


def run(loaded: Loaded) -> int:
    """Make the videos of a configuration; returns the exit code."""
    config: InferConfig = loaded.values
    device.setup(config.env.device_target, config.env.mode, jit_level=config.env.jit_level, native=config.env.native,
                 threads=config.env.threads)
    trained = find_trained(config.weights)
    folder = new_folder(Path(config.output))
    logger = log.setup(file=folder / "log.txt")
    atomic.write_text(folder / "config.yaml", loaded.text)
    wanted = [prompt for prompt in prompts_of(config) for _ in range(config.count)]
    requests = [Request(prompt, config.seed, number) for number, prompt in enumerate(wanted)]
    plan = _plan(config, trained.config)
    logger.info("\n".join(_opening(config, trained, plan, len(requests))))
    clock = time.monotonic()
    pipeline = _pipeline(trained)
    videos = _sample(pipeline, requests, plan, min(config.batch, len(requests)))
    sampled = time.monotonic() - clock
    files = _write(folder, videos, requests, config)
    _write_record(folder, loaded, trained, plan, requests, files, {"load_and_sample_s": round(sampled, 2)})
    logger.info("made %d videos in %.1f s", len(requests), time.monotonic() - clock)
    for path in files:
        logger.info("  %s", path.resolve())
    return 0


def new_folder(parent: Path) -> Path:
    """A folder that did not exist: parent/0001, parent/0002, ..."""
    parent.mkdir(parents=True, exist_ok=True)
    taken = [int(p.name) for p in parent.iterdir() if re.fullmatch(r"\d{4,}", p.name)]
    number = max(taken, default=0) + 1
    while True:
        folder = parent / f"{number:04d}"
        try:
            folder.mkdir()
            return folder
        except FileExistsError:
            number += 1


def _plan(config: InferConfig, trained: TrainConfig) -> Plan:
    size = config.size or trained.data.size
    s = config.sample
    return Plan((trained.model.channels, config.frames or trained.data.frames, *size), s.sampler, s.steps, s.eta, s.guidance,
                s.dynamic_threshold, trained.diffusion.prediction)


def _pipeline(trained: Trained) -> PixelVideo:
    network = ConditionedUnet3D(trained.config.model)
    load_into(network, trained.arrays)
    return PixelVideo(network, cosine(trained.config.diffusion.timesteps))


def _opening(config: InferConfig, trained: Trained, plan: Plan, videos: int) -> list[str]:
    c, f, h, w = plan.shape
    parameters = sum(a.size for a in trained.arrays.values())
    return opening_lines({
        "mindlong": f"{__version__} on MindSpore {mindspore.__version__}, {device.chip()}, {config.env.mode} mode",
        "weights": trained.where,
        "parameters": f"{parameters:,}",
        "seed": config.seed,
        "plan": f"{videos} videos, {f} frames {h}x{w}, {plan.sampler} {plan.steps} steps, guidance {plan.guidance:g}",
    })  # fmt: skip


def _sample(pipeline: PixelVideo, requests: list[Request], plan: Plan, batch: int) -> list[np.ndarray]:
    steps = pipeline.schedule.timesteps if plan.sampler == "ddpm" else plan.steps
    rounds = -(-len(requests) // batch)
    videos: list[np.ndarray] = []
    with progress.bar(steps * rounds, "denoising") as bar:
        for _, frames in pipeline.batches(requests, plan, batch, lambda *_: bar.update(1) and None):
            videos.extend(frames)
    return videos


def _write(folder: Path, videos: list[np.ndarray], requests: list[Request], config: InferConfig) -> list[Path]:
    enlarged = [v.repeat(config.scale, axis=1).repeat(config.scale, axis=2) for v in videos]
    files: list[Path] = []
    for i, video in enumerate(enlarged):
        stem = f"video-{i:03d}" if len(videos) > 1 else "video"
        files += [write_video(folder / f"{stem}.{kind}", video, config.fps) for kind in config.formats if kind in ENCODED]
        if "frames" in config.formats:
            files.append(write_frames(folder / stem, video, config.fps))
    if "png" in config.formats:
        files.append(write_contact_sheet(folder / "contact_sheet.png", enlarged, [r.prompt for r in requests]))
    return files


def _write_record(folder: Path, loaded: Loaded, trained: Trained, plan: Plan, requests: list[Request], files: list[Path],
                  timings: dict[str, float]) -> None:
    record = {
        "prompts": [{"prompt": r.prompt, "seed": r.seed, "number": r.number} for r in requests],
        "plan": {"shape_CFHW": list(plan.shape), "sampler": plan.sampler, "steps": plan.steps, "eta": plan.eta,
                 "guidance": plan.guidance, "prediction": plan.prediction},
        "weights": {"asked": loaded.values.weights, "found": trained.where.name},
        "config": loaded.text,
        "files": [p.name for p in files],
        "versions": {"mindlong": __version__, "mindspore": mindspore.__version__, "numpy": np.__version__,
                     "python": platform.python_version()},
        "timings": timings,
    }  # fmt: skip
    atomic.write_text(folder / "video.json", json.dumps(record, indent=1))
