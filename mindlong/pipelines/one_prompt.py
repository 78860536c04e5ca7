"""What the runs of a plan show, in the form of `mindlong.pipelines.prompts.Prompts`: one prompt, or
scenes of the finished video. Without MindSpore.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from mindlong.plans.frame_prompts import Shares, rows_of, title
from mindlong.utils.errors import ConfigError

if TYPE_CHECKING:
    from mindlong.plans.hierarchy import Job


@dataclass(frozen=True)
class OnePrompt:
    """The prompt of every frame."""

    prompt: str

    @property
    def title(self) -> str:
        """In a line."""
        return self.prompt

    def rows(self, job: Job) -> list[Shares]:
        """The prompts of each frame of a run, with their shares."""
        return [((self.prompt, 1.0),)] * len(job.frames)

    def changing(self) -> bool:
        """A run never has more than one."""
        return False


@dataclass(frozen=True)
class FramePrompts:
    """Prompts by frames.

    Attributes:
        frames: for each frame of the finished video its prompts, with their shares.
        title: in a line.
        start: the frame of the finished video that the runs call 0.
        every: the runs number frames so many times as finely.
    """

    frames: tuple[Shares, ...]
    title: str
    start: int = 0
    every: int = 1

    def at(self, numbers: Sequence[int]) -> list[Shares]:
        """Of the frames that runs call so; behind the last frame its prompts go on."""
        last = len(self.frames) - 1
        return [self.frames[min(self.start + int(n) // self.every, last)] for n in numbers]

    def rows(self, job: Job) -> list[Shares]:
        """The prompts of each frame of a run, with their shares."""
        return self.at(job.frames)

    def changing(self) -> bool:
        """A run can have more than one."""
        return True

    def finer(self, every: int) -> FramePrompts:
        """The same, for runs that number frames so many times as finely."""
        return replace(self, every=self.every * every)


Shown = OnePrompt | FramePrompts


def shown_of(
    scenes: Mapping[str, str], prompt: str, frames: int, key: str, start: int = 0
) -> Shown:
    """The scenes of a video of `frames` frames, or its one prompt where it has none.

    Args:
        key: of the configuration, for messages. start: see `FramePrompts`.

    Raises:
        ConfigError: scenes that do not fit the frames.
    """
    if not scenes:
        return OnePrompt(prompt)
    try:
        return FramePrompts(tuple(rows_of(scenes, frames)), title(scenes), start)
    except ConfigError as error:
        raise ConfigError(f"{key}: {error}") from None
