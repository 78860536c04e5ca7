"""The `resume` section of a training configuration: how a run may go on that was stopped."""

from __future__ import annotations

from dataclasses import dataclass

from mindlong.config.option import option


@dataclass
class ResumeOptions:
    """Going on with a run in its run_dir."""

    allow: list[str] = option(
        [],
        "keys that may differ from what the run was begun with (shell patterns), for example "
        "[train.lr, train.batch_size]; noted in history.jsonl. Data that only moved needs none",
    )
