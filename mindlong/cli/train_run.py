"""The part of train.py that needs MindSpore: device, processes, task, trainer."""

from __future__ import annotations

from pathlib import Path

import mindspore

from mindlong import __version__
from mindlong.cli.common import opening_lines
from mindlong.config.load import Loaded
from mindlong.config.schema import TrainConfig
from mindlong.data.build import build_source
from mindlong.ops import device
from mindlong.parallel.launch import start
from mindlong.training.tasks.pixel import PixelTask
from mindlong.training.trainer import Trainer
from mindlong.utils import log


def run(loaded: Loaded) -> int:
    """Train as configured; returns the exit code."""
    config: TrainConfig = loaded.values
    env = config.env
    comm = start(env.device_target)
    device.setup(env.device_target, env.mode, jit_level=env.jit_level, native=env.native, threads=env.threads)
    run_dir = Path(config.run_dir)
    logger = log.setup(comm.rank, run_dir / "log.txt" if comm.rank == 0 else None)
    logger.info("\n".join(_opening(loaded, comm.size)))
    task = PixelTask(config, build_source(config.data, config.train.seed))
    return Trainer(task, config.train, run_dir, comm, config_text=loaded.text).run()


def _opening(loaded: Loaded, world: int) -> list[str]:
    config: TrainConfig = loaded.values
    return opening_lines({
        "mindlong": f"{__version__} on MindSpore {mindspore.__version__}, {device.chip()}, {config.env.mode} mode",
        "world size": world,
        "seed": config.train.seed,
        "config": loaded.path or "from the command line",
        "plan": f"{config.train.steps} steps of {config.train.batch_size} samples into {config.run_dir}",
    })  # fmt: skip
