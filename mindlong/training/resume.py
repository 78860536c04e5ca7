"""What a checkpoint of a run holds, and how a run goes on from one.

A checkpoint folder has `network.safetensors` (every parameter; of a LoRA's training the LoRA
alone), `ema.safetensors` (the same with
the averages in place of the trained ones, so that it is a whole network too),
`optimizer.safetensors` (`m.NAME`, `v.NAME`), and counters in its state.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from mindspore import Parameter, Tensor, nn

from mindlong.checkpoints import store
from mindlong.checkpoints.inputs import Known, change, changed, moved
from mindlong.config.compare import check_same_everywhere, check_same_run
from mindlong.utils.errors import ConfigError, InputFileError
from mindlong.utils.log import get_logger

if TYPE_CHECKING:
    from mindlong.parallel.comm import Comm
    from mindlong.training.ema import Ema
    from mindlong.training.run_dir import RunDir
    from mindlong.training.step import Stepper

NETWORK, EMA, OPTIMIZER = "network", "ema", "optimizer"


def arrays_to_save(
    parameters: Sequence[Parameter], stepper: Stepper, ema: Ema | None
) -> dict[str, dict[str, np.ndarray]]:
    """The files of a checkpoint: name of the file -> name of the array -> array."""
    weights = {p.name: p.asnumpy() for p in parameters}
    files = {NETWORK: weights, OPTIMIZER: stepper.adam.state()}
    return files if ema is None else {**files, EMA: weights | ema.state()}


def restore(
    folder: Path, network: nn.Cell | Sequence[Parameter], stepper: Stepper, ema: Ema | None
) -> dict:
    """Fill network (or those of its parameters that a checkpoint holds), optimizer and averages
    from a checkpoint and return its state.

    Raises:
        InputFileError: a damaged checkpoint, or arrays missing, left over or of another shape.
    """
    try:
        files, state = store.load(folder)
    except InputFileError as error:
        raise InputFileError(
            f"{error}. To go on from the checkpoint before it, delete the folder {folder}"
        ) from None
    parameters = list(network.get_parameters() if isinstance(network, nn.Cell) else network)
    _fill(folder, NETWORK, files, parameters)
    _fill(folder, OPTIMIZER, files, [*stepper.adam.m, *stepper.adam.v])
    if ema is not None and EMA not in files:
        ema.start()
        get_logger().info("%s has no averaged weights; they start as a copy of the weights", folder)
    elif ema is not None:
        averaged = {weight.name: p for weight, p in zip(ema.weights, ema.averages, strict=True)}
        _fill(
            folder,
            EMA,
            files,
            [averaged.get(p.name, p) for p in parameters],
            [p.name for p in parameters],
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
    check_same_everywhere(comm.all_gather_text(config_text))
    names = comm.all_gather_text(checkpoint.name if checkpoint else "no checkpoint")
    if len(set(names)) > 1:
        raise ConfigError(
            f"the processes see different checkpoints ({', '.join(names)}); they must share run_dir"
        )


def changes(place: RunDir, config_text: str, inputs: Known, checkpoint: Path | None) -> list[str]:
    """Make sure that the run in `place` is this configuration's; returns lines on what has changed
    since, harmlessly or on purpose.

    Raises:
        ConfigError: its checkpoints belong to another configuration, or to files whose content has
            changed since.
    """
    saved = place.config()
    if checkpoint is None or saved is None or not config_text:
        return []
    before = place.inputs()
    known = before if before is not None else {}
    content = {key: change(key, known, inputs) for key in changed(known, inputs)} if known else {}
    apart = tuple(key.split("[")[0] for key in inputs) if known else ()
    lines = check_same_run(saved, config_text, str(place.folder), apart, content)
    return lines + [f"{key}: the same content, at another place" for key in moved(known, inputs)]
