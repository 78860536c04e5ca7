"""What a checkpoint of a run holds, and how a run goes on from one.

A checkpoint folder has `network.safetensors` (every parameter; of a LoRA's training the LoRA
alone), `ema.safetensors` (the same with
the averages in place of the trained ones, so that it is a whole network too),
`optimizer.safetensors` (`m.NAME`, `v.NAME`), and counters in its state. Of a sharded training each
process has written its moments into `optimizer.partNofM.safetensors`; any number of processes goes
on from either.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
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
PART = re.compile(rf"{OPTIMIZER}\.part\d+of\d+")


def networks_to_save(
    parameters: Sequence[Parameter], averages: Mapping[str, np.ndarray] | None
) -> dict[str, dict[str, np.ndarray]]:
    """The files of a checkpoint without the moments: name of the file -> name of the array ->
    array.
    """
    weights = {p.name: p.asnumpy() for p in parameters}
    return {NETWORK: weights} | ({} if averages is None else {EMA: weights | dict(averages)})


def moments_to_save(stepper: Stepper, rank: int, size: int) -> dict[str, dict[str, np.ndarray]]:
    """The file of this process's moments; of all, where it is the only one that keeps some."""
    name = f"{OPTIMIZER}.part{rank + 1}of{size}" if stepper.publish is not None else OPTIMIZER
    return {name: stepper.adam.state()}


def restore(
    folder: Path,
    network: nn.Cell | Sequence[Parameter],
    stepper: Stepper,
    ema: Ema | None,
    trained: Sequence[Parameter] | None = None,
) -> dict:
    """Fill network (or those of its parameters that a checkpoint holds), optimizer and averages
    from a checkpoint and return its state.

    Args:
        trained: all trained parameters, where optimizer and averages hold a share of them.

    Raises:
        InputFileError: a damaged checkpoint, or arrays missing, left over or of another shape.
    """
    trained = stepper.adam.parameters if trained is None else trained
    try:
        files, state = store.load(folder)
    except InputFileError as error:
        raise InputFileError(
            f"{error}. To go on from the checkpoint before it, delete the folder {folder}"
        ) from None
    parameters = list(network.get_parameters() if isinstance(network, nn.Cell) else network)
    _fill(folder, NETWORK, files, parameters)
    _fill_moments(folder, files, stepper, trained)
    if ema is not None:
        _fill_averages(folder, files, ema, parameters, trained)
    stepper.restore(state["stepper"])
    return state


def _fill_averages(
    folder: Path,
    files: dict[str, dict[str, np.ndarray]],
    ema: Ema,
    parameters: Sequence[Parameter],
    trained: Sequence[Parameter],
) -> None:
    if EMA not in files:
        ema.start()
        get_logger().info("%s has no averaged weights; they start as a copy of the weights", folder)
        return
    averaged = {weight.name: p for weight, p in zip(ema.weights, ema.averages, strict=True)}
    _fill(
        folder,
        EMA,
        files,
        [averaged.get(p.name, p) for p in parameters],
        [p.name for p in parameters],
        {p.name for p in trained} - set(averaged),
    )


def _fill(
    folder: Path,
    name: str,
    files: dict[str, dict[str, np.ndarray]],
    parameters: Sequence[Parameter],
    names: Sequence[str] | None = None,
    others: Collection[str] = (),
) -> None:
    """Set `parameters` to the arrays called `names` but those of `others`, which another process
    keeps.
    """
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
        if n not in others:
            p.set_data(Tensor(np.ascontiguousarray(arrays[n])))


def _fill_moments(
    folder: Path,
    files: dict[str, dict[str, np.ndarray]],
    stepper: Stepper,
    trained: Sequence[Parameter],
) -> None:
    """From one file or from the parts of all processes, whoever keeps which now."""
    parts = [name for name in files if name == OPTIMIZER or PART.fullmatch(name)]
    whole = {key: array for name in parts for key, array in files[name].items()}
    own = {p.name: p for p in (*stepper.adam.m, *stepper.adam.v)}
    names = [f"{moment}.{p.name}" for moment in "mv" for p in trained]
    held = [own.get(n, p) for n, p in zip(names, [*trained, *trained], strict=True)]
    _fill(folder, OPTIMIZER, {OPTIMIZER: whole}, held, names, set(names) - set(own))


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
    apart = tuple(key.split("[")[0] for key in {*known, *changed(known, inputs)}) if known else ()
    lines = check_same_run(saved, config_text, str(place.folder), apart, content)
    return lines + [f"{key}: the same content, at another place" for key in moved(known, inputs)]
