"""A training as a program starts it: the run of train.py."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mindlong.config.load import load
from mindlong.config.schema import TrainConfig
from mindlong.training.start import start
from mindlong.utils import interrupts, log_output


def train(config: str | Path | None = None, **keys: Any) -> Path:
    """Train as `train.py --config CONFIG key=value ...` does; called again it goes on.

    Args:
        config: a YAML file; None: everything is said by `keys`.
        keys: of the configuration, `__` for the dot: data__folder="my_clips".

    Returns:
        The run's folder, which `mindlong.load` takes.

    Raises:
        ConfigError, InputFileError: what train.py refuses. KeyboardInterrupt: Ctrl-C stopped it
            after a step; what it had learnt is saved, and the same call goes on.
    """
    loaded = load(config, keys, TrainConfig)
    try:
        code = start(loaded)
    finally:
        log_output.leave_file()
    if code > 128:
        raise interrupts.Interrupted(code - 128)
    return Path(loaded.values.run_dir)
