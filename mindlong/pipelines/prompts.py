"""Which prompt each frame of each run of a hierarchy has: by node, by time, by level, or one for
all.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mindlong.plans.frame_prompts import Shares, parse, shares_of, travels
from mindlong.utils.errors import ConfigError

if TYPE_CHECKING:
    from mindlong.plans.hierarchy import Job, LongPlan


@dataclass(frozen=True)
class Prompts:
    """The prompts of a plan. What is said more closely wins: of the node itself, of the time, of an
    ancestor, of the level.

    Args:
        default: where nothing else is said.
        levels: level -> prompt.
        nodes: "level/node" -> prompt.
        scenes: range of frames of the finished video -> prompt; after the last range its prompt
            goes on. Or single frames, between which one prompt turns into the next.

    Raises:
        ConfigError: a level or node that the plan does not have; ranges that overlap or leave
            frames out.
    """

    plan: LongPlan
    default: str = ""
    levels: Mapping[str, str] = field(default_factory=dict)
    nodes: Mapping[str, str] = field(default_factory=dict)
    scenes: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        last = max(job.level for job in self.plan.jobs)
        for key in self.levels:
            if int(key) > last:
                raise ConfigError(
                    f"level_prompts names level {key}; the plan has levels 0 to {last}"
                )
        known = {f"{job.level}/{job.node}" for job in self.plan.jobs}
        for key in self.nodes:
            if str(key) not in known:
                count = sum(job.level == int(str(key).split("/")[0]) for job in self.plan.jobs)
                raise ConfigError(
                    f"node_prompts names {key}; that level has {count} runs, numbered from 0"
                )
        between = travels(self.scenes)
        ranges = parse(self.scenes) if self.scenes and not between else []
        rows = shares_of(self.scenes, self.plan.frames) if between else []
        object.__setattr__(self, "_ranges", ranges)
        object.__setattr__(self, "_rows", rows)
        object.__setattr__(self, "_ends", {str(key): self._covers(str(key)) for key in self.nodes})

    def of(self, job: Job) -> list[str]:
        """The prompt of each frame of a run."""
        own = self.nodes.get(f"{job.level}/{job.node}")
        if own is not None:
            return [own] * len(job.frames)
        if self._ranges:
            return [self._at(frame) for frame in job.frames]
        above = self._ancestor(job)
        return [
            above if above is not None else self.levels.get(str(job.level), self.default)
        ] * len(job.frames)

    def rows(self, job: Job) -> list[Shares]:
        """The prompts of each frame of a run, with their shares: between the frames that `scenes`
        names one prompt turns into the next.
        """
        if self._rows and f"{job.level}/{job.node}" not in self.nodes:
            return [self._rows[min(frame, len(self._rows) - 1)] for frame in job.frames]
        return [((prompt, 1.0),) for prompt in self.of(job)]

    def changing(self) -> bool:
        """Whether a run can have more than one prompt, so that all are given one for each frame."""
        return bool(self._rows) or len({prompt for _, prompt in self._ranges}) > 1

    def _at(self, frame: int) -> str:
        for (_, last), prompt in self._ranges:
            if frame <= last:
                return prompt
        return self._ranges[-1][1]

    def _ancestor(self, job: Job) -> str | None:
        """The prompt of the nearest node above that has one."""
        for level in range(job.level - 1, -1, -1) if self._ends else ():
            for key, (first, last) in self._ends.items():
                if (
                    key.startswith(f"{level}/")
                    and first <= job.frames[0]
                    and job.frames[-1] <= last
                ):
                    return self.nodes[key]
        return None

    def _covers(self, key: str) -> tuple[int, int]:
        level, node = map(int, key.split("/"))
        job = next(job for job in self.plan.jobs if (job.level, job.node) == (level, node))
        return job.frames[0], job.frames[-1]
