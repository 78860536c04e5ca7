"""The part of train.py that needs MindSpore: device, processes, task, trainer."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import mindspore

from mindlong import __version__
from mindlong.checkpoints.inputs_everywhere import check_same_files
from mindlong.checkpoints.start import KEY as START
from mindlong.data.build import open_source
from mindlong.data.needs import needs_of
from mindlong.media.colours import parse_colour, shown_on
from mindlong.ops import attention, device
from mindlong.parallel import launch
from mindlong.parallel.comm import Comm, all_ok
from mindlong.training.inputs import inputs_of
from mindlong.training.run_dir import LOG, RunDir
from mindlong.training.tasks import build_task
from mindlong.training.trainer import Trainer
from mindlong.utils import log_output, system
from mindlong.utils.errors import UserError
from mindlong.utils.lines import opening_lines

if TYPE_CHECKING:
    from mindlong.checkpoints.inputs import Known
    from mindlong.config.load import Loaded
    from mindlong.config.schema import TrainConfig


def run(loaded: Loaded, notes: Sequence[str] = ()) -> int:
    """Train as configured; returns the exit code. `notes` are said first."""
    config: TrainConfig = loaded.values
    env = config.env
    one_of_many = launch.local_rank() if launch.world_size() > 1 else None
    device.setup(
        env.device_target,
        env.mode,
        one_of_many,
        jit_level=env.jit_level,
        native=env.native,
        threads=env.threads,
        hf32=env.hf32,
    )
    attention.use(config.attention.backend)
    comm = launch.connect()
    data, options = config.data, config.train
    with (
        RunDir(config.run_dir, comm) as place,
        shown_on(parse_colour(data.alpha_background, "data.alpha_background")),
    ):
        inputs = _inputs(config, comm)
        logger = log_output.setup(comm.rank, place.folder / LOG if comm.rank == 0 else None)
        logger.info("\n".join(_opening(loaded, comm.size)))
        for note in notes:
            logger.warning("%s", note)
        if START in inputs:
            begun = inputs[START]
            logger.info("starting from %s, SHA-256 %s", begun["path"], begun["sha256"])
        with open_source(data, options.seed, options.workers, needs_of(config)) as source:
            task = build_task(config, source)
            trainer = Trainer(task, options, place.folder, comm, loaded.text, inputs, place=place)
            logger.info("\n".join(trainer.describe()))
            outcome = trainer.run()
    return exit_code(outcome.signal)


def exit_code(signal: int) -> int:
    """Of a training that a signal stopped as asked; 0: none did.

    Where `MINDLONG_STOP_CODE` names a file the code is left there, and this one is 0:
    scripts/run_train_distributed.sh asks for it with msrun, which kills what is left of a job when
    one of its processes ends with a code.
    """
    if not signal:
        return 0
    code, place = 128 + signal, os.environ.get("MINDLONG_STOP_CODE")
    if not place:
        return code
    with system.explained(place, "MINDLONG_STOP_CODE"):
        Path(place).write_text(str(code), encoding="utf-8")
    return 0


def _inputs(config: TrainConfig, comm: Comm) -> Known:
    """The files that the training starts from, read by the first process for all."""
    found, error = {}, None
    if comm.rank == 0:
        try:
            found = inputs_of(config)
        except UserError as fault:
            error = fault
    all_ok(comm, error, "reading the files that the training starts from")
    check_same_files(comm, found, lambda: inputs_of(config))
    return found


def _opening(loaded: Loaded, world: int) -> list[str]:
    config: TrainConfig = loaded.values
    return opening_lines(
        {
            "mindlong": f"{__version__} on MindSpore {mindspore.__version__}, {device.chip()}, {config.env.mode} mode",
            "world size": world,
            "seed": config.train.seed,
            "config": loaded.path or "from the command line",
            "plan": f"{config.train.steps} steps of {config.train.batch_size} samples into {config.run_dir}",
        }
    )
