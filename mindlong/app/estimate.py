"""How long a run may take: from the last one of the same pipeline and weights that this person let
run here, by the work that both are. Nothing is guessed before there was one.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from mindlong.app.job import DONE, Job, number
from mindlong.utils.run_folder import RECORD

SOONEST = 5.0  # seconds: a run loads and compiles however small it is


def work_of(config: Any) -> dict[str, Any]:
    """What a run's time grows with: `amount` in steps times frames times pixels times videos, and
    `kind`, which has to be the same for two to be compared.
    """
    scenes = getattr(config.own, "scenes", None)
    listed = len(scenes) if isinstance(scenes, list) else 0
    videos = max(1, (len(config.wanted_prompts()) + listed) * config.count)
    height, width = config.size or (1, 1)
    frames = config.frames or 1
    kind = [config.pipeline, config.weights, bool(config.size), bool(config.frames)]
    doubled = 2 if config.sample.guidance != 1 else 1
    amount = videos * frames * height * width * config.sample.steps * doubled
    return {"kind": kind, "amount": amount}


def sentence(config: Any, jobs: Iterable[Job]) -> str:
    """How long a run may take, and from what that is known.

    Args:
        jobs: of the person, the newest first.
    """
    work = work_of(config)
    known = [(job, *_spent(job)) for job in jobs if _work(job).get("kind") == work["kind"]]
    known = [row for row in known if row[1] and row[2]]
    if not known:
        return "not known before the first run of this pipeline and these weights here"
    job, amount, seconds = known[0]
    other = next((row for row in known if row[1] != amount), None)
    slope = seconds / amount
    if other is not None:  # two points: what a run takes however small it is falls out
        slope = max((seconds - other[2]) / (amount - other[1]), 0.0)
    took = max(seconds + slope * (work["amount"] - amount), SOONEST)
    return f"about {spoken(took)}, as job {job.name} took {spoken(seconds)}"


def _spent(job: Job) -> tuple[float, float]:
    """(amount of work, seconds) of a finished job; zeros of another."""
    return number(_work(job).get("amount")), seconds_of(job) if job.state() == DONE else 0.0


def _work(job: Job) -> dict[str, Any]:
    """What `work_of` said of a job; {} where its job.json is damaged."""
    held = job.about().get("work")
    return held if isinstance(held, dict) else {}


def seconds_of(job: Job) -> float:
    """How long a finished job took; 0 where its record does not say, or it was gone on with."""
    try:
        record = json.loads((job.run / RECORD).read_text(encoding="utf-8")) if job.run else {}
        timings = record.get("timings", {})
        return 0.0 if timings.get("resumed") else float(timings.get("seconds", 0.0))
    except (OSError, ValueError, AttributeError, TypeError):
        return 0.0


def spoken(seconds: float) -> str:
    """75.0 -> "1 min 15 s"."""
    whole = max(1, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
