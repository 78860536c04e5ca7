"""A long video as a plan: which runs of the network make which frames, and from which frames known
before.

Nothing here knows a network. A plan can be printed, tested and resumed job by job, and executors
only run jobs. Frame indices are those of the finished video.

Sources: NUWA-XL (Yin et al., 2023), section 3, for the hierarchy; the 5 -> 17 -> 65 chain of
make-a-stable-diffusion-video.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import prod

from mindlong.utils.errors import ConfigError


@dataclass(frozen=True)
class Job:
    """One run of a network over `frames`; those in `known` are given, the others it makes."""

    name: str
    level: int
    node: int
    frames: tuple[int, ...]
    known: tuple[int, ...]

    @cached_property
    def makes(self) -> tuple[int, ...]:
        """The frames that are new with this job."""
        given = set(self.known)
        return tuple(f for f in self.frames if f not in given)

    @property
    def known_mask(self) -> tuple[bool, ...]:
        """For every frame of the run: is it given?"""
        given = set(self.known)
        return tuple(f in given for f in self.frames)


@dataclass(frozen=True)
class LongPlan:
    """Jobs in an order in which they can be run. `frames` is the length of the finished video,
    `given` what exists before.
    """

    frames: int
    jobs: tuple[Job, ...]
    given: tuple[int, ...] = ()

    def levels(self) -> Iterator[tuple[int, list[Job]]]:
        """(level, its jobs); the jobs of a level do not need each other, so they can share a batch
        or be spread over ranks.
        """
        found: dict[int, list[Job]] = {}
        for job in self.jobs:
            found.setdefault(job.level, []).append(job)
        for level in range(max(found, default=-1) + 1):
            yield level, found.get(level, [])

    def check(self) -> None:
        """Go through the jobs and see that every frame is made exactly once and nothing is used
        before it exists.

        Raises:
            ValueError: naming the first job or frame that breaks the rule.
        """
        made = Counter(self.given)
        before = set(self.given)
        for _, jobs in self.levels():
            for job in jobs:
                missing = [f for f in job.known if f not in before]
                if missing:
                    raise ValueError(
                        f"{job.name} needs frames {missing[:5]} before any job of an earlier level made them"
                    )
                made.update(job.makes)
            before.update(frame for job in jobs for frame in job.makes)
        wrong = [f for f in range(self.frames) if made[f] != 1]
        if wrong:
            raise ValueError(
                f"frame {wrong[0]} is made {made[wrong[0]]} times; every frame must be made once"
            )

    def kept(self, job: Job) -> tuple[int, ...]:
        """The new frames of `job` that are part of the finished video (a truncated plan drops those
        past its end).
        """
        return tuple(f for f in job.makes if f < self.frames)

    def describe(self) -> list[str]:
        """One line for the whole and one a level."""
        lines = [f"{self.frames} frames in {len(self.jobs)} runs"]
        for level, jobs in self.levels():
            if not jobs:
                lines.append(f"  level {level}: given")
                continue
            step = jobs[0].frames[1] - jobs[0].frames[0] if len(jobs[0].frames) > 1 else 0
            lines.append(
                f"  level {level}: {len(jobs)} runs of {len(jobs[0].frames)} frames, {step} apart, {len(jobs[0].known)} given"
            )
        return lines


def jobs_for(plan: LongPlan, first: int, last: int) -> set[str]:
    """Names of the jobs that frames `first` to `last` (both included) need: those that make them,
    and their ancestors.
    """
    if not 0 <= first <= last < plan.frames:
        raise ConfigError(
            f"the range {first} to {last} does not lie in the video of {plan.frames} frames"
        )
    needed, names = set(range(first, last + 1)), set()
    for _, jobs in reversed(list(plan.levels())):
        for job in jobs:
            if not needed.isdisjoint(job.makes):
                names.add(job.name)
                needed.update(job.known)
    return names


def hierarchy_frames(lengths: Sequence[int]) -> int:
    """N = 1 + prod(L_k - 1): segments of one level share their end frames."""
    return 1 + prod(length - 1 for length in lengths)


def plan_hierarchical(lengths: Sequence[int], frames: int | None = None) -> LongPlan:
    """Diffusion over diffusion: level 0 makes `lengths[0]` key frames, level k fills each gap with
    a run of `lengths[k]`.

    Node j of level k starts at frame j * prod(L_i - 1 for i >= k); its first and last frame come
    from the level above.

    Args:
        lengths: frames of a run at every level, each at least 2 (3 to add anything).
        frames: truncate to this many; runs that lie wholly past the end are left out.
    Raises:
        ConfigError: a length below 2, or more frames asked for than the lengths give.
    """
    if not lengths or min(lengths) < 2:
        raise ConfigError(f"lengths is {list(lengths)}; every level needs at least 2 frames")
    whole = hierarchy_frames(lengths)
    wanted = whole if frames is None else frames
    if not 1 <= wanted <= whole:
        raise ConfigError(
            f"frames is {wanted}; lengths {list(lengths)} give {whole} frames; add a level or lengthen one"
        )
    jobs = tuple(job for k in range(len(lengths)) for job in _level(lengths, k, wanted))
    return LongPlan(wanted, jobs)


def _level(lengths: Sequence[int], level: int, wanted: int) -> Iterator[Job]:
    step = prod(length - 1 for length in lengths[level + 1 :])
    span = step * (lengths[level] - 1)
    for node in range(prod(length - 1 for length in lengths[:level])):
        start = node * span
        if start >= max(wanted - 1, 1):
            return
        frames = tuple(range(start, start + span + 1, step))
        known = () if level == 0 else (frames[0], frames[-1])
        if level == 0 or len(frames) > 2:
            yield Job(f"level{level}-node{node:06d}", level, node, frames, known)


def plan_between(lengths: Sequence[int], given: Sequence[int] = (0, -1)) -> LongPlan:
    """The hierarchy between frames that exist already: `given` are places of level 0's run that are
    known (0 first, -1 last).

    With `(0, -1)` a video is filled between two images, with `(0,)` an image or the last frame of a
    video is continued, with `(-1,)` a video is extended at its beginning.
    """
    plan = plan_hierarchical(lengths)
    first = plan.jobs[0]
    known = tuple(sorted(first.frames[i] for i in given))
    return LongPlan(
        plan.frames, (Job(first.name, 0, 0, first.frames, known), *plan.jobs[1:]), known
    )


def plan_given(
    lengths: Sequence[int], given: Collection[int], frames: int | None = None
) -> LongPlan:
    """The hierarchy where some frames exist already, at whatever places: runs know them, and those
    that would make nothing else are left out.

    Args:
        lengths, frames: as for `plan_hierarchical`.
        given: frame numbers of the finished video.
    Raises:
        ConfigError: as `plan_hierarchical`, or a given frame outside the video.
    """
    whole, there = plan_hierarchical(lengths, frames), frozenset(given)
    outside = sorted(f for f in there if not 0 <= f < hierarchy_frames(lengths))
    if outside:
        raise ConfigError(
            f"frame {outside[0]} is given; lengths {list(lengths)} give frames 0 to {hierarchy_frames(lengths) - 1}"
        )
    jobs = []
    for job in whole.jobs:
        known = tuple(f for f in job.frames if f in there or f in job.known)
        if len(known) < len(job.frames):
            jobs.append(Job(job.name, job.level, job.node, job.frames, known))
    return LongPlan(whole.frames, tuple(jobs), tuple(sorted(there)))


def lengths_for(frames: int, longest: int, levels: int = 8) -> tuple[int, ...]:
    """The cheapest lengths, none above `longest`, whose hierarchy has at least `frames` frames;
    fewest runs, then fewest frames.

    Raises:
        ConfigError: no more than `levels` levels of `longest` frames are enough.
    """
    for depth in range(1, levels + 1):
        if hierarchy_frames([longest] * depth) >= frames:
            return _shorten(frames, [longest] * depth)
    raise ConfigError(
        f"frames is {frames}; {levels} levels of {longest} frames give only {hierarchy_frames([longest] * levels)}"
    )


def _shorten(frames: int, lengths: list[int]) -> tuple[int, ...]:
    """Take frames off one level at a time, the first level first, as long as the video stays long
    enough.
    """
    for k in range(len(lengths)):
        while (
            lengths[k] > 3
            and hierarchy_frames([*lengths[:k], lengths[k] - 1, *lengths[k + 1 :]]) >= frames
        ):
            lengths[k] -= 1
    return tuple(lengths)


def chain_lengths(keys: int, factors: Sequence[int]) -> tuple[int, ...]:
    """5 keys and factors (4, 4) give (5, 17, 65): every gap of a stage becomes `factor` gaps."""
    lengths = [keys]
    for factor in factors:
        lengths.append((lengths[-1] - 1) * factor + 1)
    return tuple(lengths)


def plan_interpolation(
    keys: int, factors: Sequence[int], window: int = 0, given_keys: bool = False
) -> LongPlan:
    """Key frames, then stages that each put `factor - 1` frames into every gap, over the whole
    length or in windows.

    Args:
        keys: key frames of stage 0, at least 2.
        factors: of the stages, each at least 2.
        window: longest run of a stage in frames, 0 for no limit; windows share their end key
            frames.
        given_keys: the key frames exist already (images, or a video whose frame rate is raised).
    Raises:
        ConfigError: too few keys, a factor below 2, a window that holds no gap.
    """
    if keys < 2:
        raise ConfigError(f"keys is {keys}; interpolation needs at least 2 key frames")
    if any(f < 2 for f in factors):
        raise ConfigError(
            f"factors is {list(factors)}; a factor is at least 2, 1 would add nothing"
        )
    steps = [prod(factors[k:]) for k in range(len(factors) + 1)]
    total = (keys - 1) * steps[0] + 1
    places = tuple(range(0, total, steps[0]))
    jobs = [] if given_keys else [Job("keys", 0, 0, places, ())]
    for stage, factor in enumerate(factors):
        jobs += _stage_jobs(stage + (not given_keys), total, steps[stage], factor, window)
    return LongPlan(total, tuple(jobs), places if given_keys else ())


def _stage_jobs(level: int, total: int, gap: int, factor: int, window: int) -> Iterator[Job]:
    if window and window < factor + 1:
        raise ConfigError(
            f"window is {window}; one gap at factor {factor} already takes {factor + 1} frames"
        )
    gaps = (total - 1) // gap
    per_run = (window - 1) // factor if window else gaps
    for node, start in enumerate(range(0, gaps, per_run)):
        end = min(start + per_run, gaps)
        frames = tuple(range(start * gap, end * gap + 1, gap // factor))
        yield Job(f"stage{level}-window{node:06d}", level, node, frames, frames[::factor])
