"""What a checkpoint of a run holds, and how a run goes on from one.

A checkpoint folder has `network.safetensors` (every parameter), `ema.safetensors` (the same with
the averages in place of the trained ones, so that it is a whole network too),
`optimizer.safetensors` (`m.NAME`, `v.NAME`), and counters in its state.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from mindspore import Parameter, Tensor, nn

from mindlong.checkpoints import store
from mindlong.config.compare import check_same_run, differences
from mindlong.parallel.comm import Comm
from mindlong.training.ema import Ema
from mindlong.training.step import Stepper
from mindlong.utils import atomic
from mindlong.utils.errors import ConfigError, InputFileError
from mindlong.utils.log import get_logger

NETWORK, EMA, OPTIMIZER, CONFIG = "network", "ema", "optimizer", "config.yaml"


def arrays_to_save(
    network: nn.Cell, stepper: Stepper, ema: Ema | None
) -> dict[str, dict[str, np.ndarray]]:
    """The files of a checkpoint: name of the file -> name of the array -> array."""
    weights = {p.name: p.asnumpy() for p in network.get_parameters()}
    files = {NETWORK: weights, OPTIMIZER: stepper.adam.state()}
    return files if ema is None else {**files, EMA: weights | ema.state()}


def restore(folder: Path, network: nn.Cell, stepper: Stepper, ema: Ema | None) -> dict:
    """Fill network, optimizer and averages from a checkpoint and return its state.

    Raises:
        InputFileError: a damaged checkpoint, or arrays missing, left over or of another shape.
    """
    try:
        files, state = store.load(folder)
    except InputFileError as error:
        raise InputFileError(
            f"{error}. To go on from the checkpoint before it, delete the folder {folder}"
        ) from None
    _fill(folder, NETWORK, files, list(network.get_parameters()))
    _fill(folder, OPTIMIZER, files, [*stepper.adam.m, *stepper.adam.v])
    if ema is not None:
        averaged = {weight.name: p for weight, p in zip(ema.weights, ema.averages, strict=True)}
        _fill(
            folder,
            EMA,
            files,
            [averaged.get(p.name, p) for p in network.get_parameters()],
            [p.name for p in network.get_parameters()],
        )
    stepper.restore(state["stepper"])
    return state


def _fill(
    folder: Path,
    name: str,
    files: dict[str, dict[str, np.ndarray]],
    parameters: Sequence[Parameter],
    names: Sequence[str] | None = None,
) -> None:
    arrays, names = files.get(name, {}), names or [p.name for p in parameters]
    wrong = [
        n
        for n, p in zip(names, parameters, strict=True)
        if n not in arrays or arrays[n].shape != p.shape
    ]
    wrong += sorted(set(arrays) - set(names))
    if wrong:
        raise InputFileError(
            f"{folder}: {name} does not fit this network in {len(wrong)} arrays, first {wrong[0]!r}"
        )
    for n, p in zip(names, parameters, strict=True):
        p.set_data(Tensor(np.ascontiguousarray(arrays[n])))


def check_same_start(comm: Comm, config_text: str, checkpoint: Path | None) -> None:
    """All processes must train the same thing from the same checkpoint.

    Raises:
        ConfigError: on every process; the differing fields are listed.
    """
    first, *others = comm.all_gather_text(config_text)
    for rank, text in enumerate(others, 1):
        fields = [
            f"{key} ({a!r} on process 0, {b!r} on process {rank})"
            for key, a, b in differences(first, text)
        ]
        if fields:
            raise ConfigError(
                f"the processes were started with different configurations: {', '.join(fields)}"
            )
    names = comm.all_gather_text(checkpoint.name if checkpoint else "no checkpoint")
    if len(set(names)) > 1:
        raise ConfigError(
            f"the processes see different checkpoints ({', '.join(names)}); they must share run_dir"
        )


def claim(run_dir: Path, config_text: str, checkpoint: Path | None, write: bool) -> None:
    """Make sure that `run_dir` is this configuration's; `write` saves the configuration in the
    folder.

    Raises:
        ConfigError: the folder's checkpoints belong to another configuration.
    """
    file = run_dir / CONFIG
    if checkpoint is not None and file.exists() and config_text:
        for line in check_same_run(file.read_text(encoding="utf-8"), config_text, str(run_dir)):
            get_logger().info("changed since the last start: %s", line)
    if write:
        run_dir.mkdir(parents=True, exist_ok=True)
        if config_text:
            atomic.write_text(file, config_text)
