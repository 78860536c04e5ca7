"""The plans of key-frame interpolation (5 -> 17 -> 65) and of extension, run by run.

A stage may hold on to the frames it is given, or make them again as the published chain does. Made
again, a frame has several versions, and a plan must make each of its frames once. So every version
has a number of its own: version v of frame f of a video of N frames is v * N + f, and version 0 is
the finished video. `place` takes the version off again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import prod

from mindlong.plans.hierarchy import Job, LongPlan
from mindlong.utils.errors import ConfigError


@dataclass(frozen=True)
class Chain:
    """How key frames become a video.

    Attributes:
        keys: number of key frames.
        factors: every gap of stage k becomes factors[k] gaps.
        frames: length of the finished video; 0: all of them. A stage makes no run that lies wholly
            past the end.
        window: longest run of a stage in frames, 0: no limit. Windows share their end key frames.
        redo: stages make the frames they are given again (the published way).
        chunk: key frames of a job of level 0, 0: all in one.
    """

    keys: int
    factors: tuple[int, ...]
    frames: int = 0
    window: int = 0
    redo: bool = False
    chunk: int = 0

    def __post_init__(self) -> None:
        for sentence in _problems(self):
            raise ConfigError(sentence)

    @property
    def total(self) -> int:
        """Frames of the whole chain, before `frames` cuts it."""
        return (self.keys - 1) * prod(self.factors) + 1

    def step(self, level: int) -> int:
        """Distance, in frames of the finished video, of the frames that level 0 (the keys), 1, 2,
        ... makes.
        """
        return prod(self.factors[level:])

    def version(self, level: int) -> int:
        """Version of the frames that a level makes."""
        return len(self.factors) - level if self.redo else 0


def _problems(chain: Chain) -> Iterator[str]:
    if chain.keys < 2:
        yield f"keys is {chain.keys}; interpolation needs at least 2 key frames"
    for factor in chain.factors:
        if factor < 2:
            yield f"factors is {list(chain.factors)}; a factor is at least 2, {factor} would add nothing"
        if chain.window and chain.window < factor + 1:
            yield f"window is {chain.window}; one gap at factor {factor} already takes {factor + 1} frames"
    if chain.frames == 1:
        yield "frames is 1; a chain makes at least its first and its last key frame"
    if not 0 <= chain.frames <= chain.total:
        yield (
            f"frames is {chain.frames}; {chain.keys} key frames and factors {list(chain.factors)} give "
            f"{chain.total}; give more key frames or a larger factor"
        )


def place(number: int, total: int) -> int:
    """The frame that a number of a chain with `total` frames stands for, whatever its version."""
    return number % total


def plan_chain(chain: Chain) -> LongPlan:
    """The chain as a plan: level 0 makes the key frames, each further level a stage.

    A run of a stage that makes its given frames again lists them first, as other versions, then the
    run; one that holds on to them lists the run alone.
    """
    frames = chain.frames or chain.total
    jobs = [*_key_jobs(chain, frames)]
    for level in range(1, len(chain.factors) + 1):
        jobs += _stage_jobs(chain, level, frames)
    return LongPlan(frames, tuple(jobs))


def _key_jobs(chain: Chain, frames: int) -> Iterator[Job]:
    step, base = chain.step(0), chain.version(0) * chain.total
    needed = min(chain.keys, -(-(frames - 1) // step) + 1)
    size = chain.chunk or needed
    for node, start in enumerate(range(0, needed, size)):
        places = range(start * step, min(start + size, needed) * step, step)
        yield Job(f"keys-{node:06d}", 0, node, tuple(base + f for f in places), ())


def _stage_jobs(chain: Chain, level: int, frames: int) -> Iterator[Job]:
    gap, step = chain.step(level - 1), chain.step(level)
    gaps = -(-(frames - 1) // gap)
    per_run = (chain.window - 1) // chain.factors[level - 1] if chain.window else max(gaps, 1)
    for node, start in enumerate(range(0, gaps, per_run)):
        end = min(start + per_run, gaps)
        run, given = range(start * gap, end * gap + 1, step), range(start * gap, end * gap + 1, gap)
        yield _run(chain, level, node, run, given)


def _run(chain: Chain, level: int, node: int, run: Sequence[int], given: Sequence[int]) -> Job:
    name = f"stage{level}-window{node:06d}"
    if not chain.redo:
        return Job(name, level, node, tuple(run), tuple(given))
    before, now = (chain.version(k) * chain.total for k in (level - 1, level))
    spare = (
        len(chain.factors) + level
    ) * chain.total  # a window's first frame was made by the window before
    made = tuple((spare if node and f == run[0] else now) + f for f in run)
    known = tuple(before + f for f in given)
    return Job(name, level, node, known + made, known)


def plan_extension(
    given: int, run: int, overlap: int, frames: int, inside: bool = True
) -> LongPlan:
    """A video that is continued run after run, each conditioned on the last `overlap` frames
    there are.

    Args:
        given: frames that exist, at least `overlap`.
        run: frames that the network makes at a time.
        overlap: frames that a run is conditioned on.
        frames: length of the finished video.
        inside: the conditioning frames are part of the run; else the run is the frames after
            them (the first-frame model).

    Raises:
        ConfigError: nothing to be conditioned on, or a run that adds nothing.
    """
    if not 1 <= overlap <= given:
        raise ConfigError(
            f"overlap is {overlap}; it must be at least 1 and at most the {given} frames there are"
        )
    gain = run - overlap if inside else run
    if gain < 1:
        raise ConfigError(f"run is {run} frames, {overlap} of them given; nothing would be added")
    jobs: list[Job] = []
    have = given
    while have < frames:
        known = tuple(range(have - overlap, have))
        level = len(jobs)
        jobs.append(
            Job(f"run{level:06d}", level, 0, known + tuple(range(have, have + gain)), known)
        )
        have += gain
    return LongPlan(frames, tuple(jobs), tuple(range(given)))
