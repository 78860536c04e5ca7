"""One prompt for all runs of a plan, in the form of `mindlong.pipelines.prompts.Prompts`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mindlong.plans.hierarchy import Job


@dataclass(frozen=True)
class OnePrompt:
    """The prompt of every frame."""

    prompt: str

    def of(self, job: Job) -> list[str]:
        """The prompt of each frame of a run."""
        return [self.prompt] * len(job.frames)

    def changing(self) -> bool:
        """A run never has more than one."""
        return False
