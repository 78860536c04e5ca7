"""One task for each kind of training; `mindlong.config.tasks` chooses by the configuration."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mindlong.config.pipelines import function
from mindlong.config.tasks import TASKS, task_of

if TYPE_CHECKING:
    from mindlong.config.schema import TrainConfig
    from mindlong.data.source import Source
    from mindlong.training.task import Task


def build_task(config: TrainConfig, source: Source | None) -> Task:
    """The task that trains `config.model`; `source` where the task takes the clips of the section
    `data`.
    """
    training = TASKS[task_of(config)]
    made = function(training.place)
    return made(config, source) if training.source else made(config)
