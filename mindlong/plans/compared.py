"""Ways to a long video without a hierarchy, to compare one with: run after run, and clips that do
not know of one another.
"""

from __future__ import annotations

from mindlong.plans.hierarchy import Job, LongPlan


def plan_autoregressive(run: int, frames: int, overlap: int = 1) -> LongPlan:
    """Each run is conditioned on the last `overlap` frames of the one before (fewer than `run`);
    the first is conditioned on nothing.
    """
    jobs, gain = [Job("run000000", 0, 0, tuple(range(run)), ())], run - overlap
    while jobs[-1].frames[-1] < frames - 1:
        start = len(jobs) * gain
        known = tuple(range(start, start + overlap))
        jobs.append(
            Job(f"run{len(jobs):06d}", len(jobs), 0, tuple(range(start, start + run)), known)
        )
    return LongPlan(frames, tuple(jobs))


def plan_independent(run: int, frames: int) -> LongPlan:
    """Clips of `run` frames, one behind the other, that share nothing but the prompt."""
    starts = range(0, frames, run)
    return LongPlan(
        frames,
        tuple(
            Job(f"clip{i:06d}", 0, i, tuple(range(s, s + run)), ()) for i, s in enumerate(starts)
        ),
    )
