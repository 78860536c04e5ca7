"""What a checkpoint of a run holds, and how a run goes on from one.

A checkpoint folder has `network.safetensors` (every parameter), `ema.safetensors` (the same with the averages in place
of the trained ones, so that it is a whole network too), `optimizer.safetensors` (`m.NAME`, `v.NAME`), and counters in
its state.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from mindspore import Parameter, Tensor, nn

from mindlong.checkpoints import store
from mindlong.config.compare import check_same_run
from mindlong.training.ema import Ema
from mindlong.training.step import Stepper
from mindlong.utils import atomic
from mindlong.utils.errors import InputFileError
from mindlong.utils.log import get_logger

NETWORK, EMA, OPTIMIZER, CONFIG = "network", "ema", "optimizer", "config.yaml"


def arrays_to_save(network: nn.Cell, stepper: Stepper, ema: Ema | None) -> dict[str, dict[str, np.ndarray]]:
    """The files of a checkpoint: name of the file -> name of the array -> array."""
    weights = {p.name: p.asnumpy() for p in network.get_parameters()}
    files = {NETWORK: weights, OPTIMIZER: stepper.adam.state()}
    return files if ema is None else {**files, EMA: weights | ema.state()}


def restore(folder: Path, network: nn.Cell, stepper: Stepper, ema: Ema | None) -> dict:
    """Fill network, optimizer and averages from a checkpoint and return its state.

    Raises:
        InputFileError: arrays missing, left over or of another shape.
    """
    files, state = store.load(folder)
    _fill(folder, NETWORK, files, list(network.get_parameters()))
    _fill(folder, OPTIMIZER, files, [*stepper.adam.m, *stepper.adam.v])
    if ema is not None:
        averaged = {weight.name: p for weight, p in zip(ema.weights, ema.averages, strict=True)}
        _fill(folder, EMA, files, [averaged.get(p.name, p) for p in network.get_parameters()],
              [p.name for p in network.get_parameters()])
    stepper.restore(state["stepper"])
    return state


def _fill(folder: Path, name: str, files: dict[str, dict[str, np.ndarray]], parameters: Sequence[Parameter],
          names: Sequence[str] | None = None) -> None:
    arrays, names = files.get(name, {}), names or [p.name for p in parameters]
    wrong = [n for n, p in zip(names, parameters, strict=True) if n not in arrays or arrays[n].shape != p.shape]
    wrong += sorted(set(arrays) - set(names))
    if wrong:
        raise InputFileError(f"{folder}: {name} does not fit this network in {len(wrong)} arrays, first {wrong[0]!r}")
    for n, p in zip(names, parameters, strict=True):
        p.set_data(Tensor(np.ascontiguousarray(arrays[n])))


def claim(run_dir: Path, config_text: str, write: bool) -> Path | None:
    """The newest checkpoint of `run_dir`, or None for a fresh run; `write` saves the configuration in the folder.

    Raises:
        ConfigError: the folder's checkpoints belong to another configuration.
    """
    newest, file = store.latest(run_dir), run_dir / CONFIG
    if newest is not None and file.exists() and config_text:
        for line in check_same_run(file.read_text(encoding="utf-8"), config_text, str(run_dir)):
            get_logger().info("changed since the last start: %s", line)
    if write:
        run_dir.mkdir(parents=True, exist_ok=True)
        if config_text:
            atomic.write_text(file, config_text)
    return newest
