"""Starting a training, whoever asks: `train.py`, or a program."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mindlong.parallel import launch, memory
from mindlong.training.plan import LOWER, Plan, plan_of

if TYPE_CHECKING:
    from mindlong.config.load import Loaded


def start(loaded: Loaded) -> int:
    """Train; returns the exit code. What a dry run refuses is refused before MindSpore starts, but
    for the data, which the run opens itself.
    """
    made = plan_of(loaded)
    check_memory(loaded, made)
    launch.join(
        loaded.values.run_dir
    )  # before MindSpore is imported, where there are several processes
    from mindlong.training.run import run

    return run(loaded, [*loaded.notes, *made.notes])


def check_memory(loaded: Loaded, made: Plan) -> None:
    """Raise ConfigError where the training would not fit into this machine."""
    env = loaded.values.env
    ignore, here = env.memory == "ignore", launch.local_size()
    memory.check(made.memory, LOWER, env.device_target, here, ignore)
