"""Videos drawn in the course of a training, always from the same noise, with the averaged
weights.
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

from mindlong.diffusion.finite import NotFiniteError
from mindlong.utils.log import get_logger
from mindlong.utils.progress import announced

if TYPE_CHECKING:
    from mindlong.training.ema import Ema, Swap
    from mindlong.training.task import Task

FOLDER = "previews"


def preview(task: Task, ema: Ema | Swap | None, step: int, run_dir: Path) -> list[Path]:
    """Let `task` draw into `run_dir`/previews; the network's own weights are back afterwards, bit
    for bit. A preview that is not finite is a warning and no file: the training goes on.
    """
    folder = run_dir / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    task.network.set_train(False)
    files: list[Path] = []
    with (
        announced(f"drawing the preview of step {step}"),
        ema.swapped_in() if ema else contextlib.nullcontext(),
    ):
        try:
            files = task.preview(step, folder)
        except NotFiniteError as error:
            get_logger().warning("there is no preview of step %d. %s", step, error)
    task.network.set_train(True)
    for file in files:
        get_logger().info("preview: %s", file)
    return files
