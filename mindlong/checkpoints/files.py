"""Weight files of every kind behind one interface: names, shapes, formats, and tensors read one at
a time.

The content decides what a file is, never its suffix.
"""

from __future__ import annotations

import functools
import importlib
import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mindlong.checkpoints import manifest, safetensors_file, shards
from mindlong.checkpoints.faults import reading
from mindlong.checkpoints.folders import config_beside, open_folder
from mindlong.checkpoints.kinds import MINDSPORE, NPZ, SAFETENSORS, TORCH, ZIP, kind_of
from mindlong.checkpoints.locate import locate
from mindlong.checkpoints.nameless_copies import with_names
from mindlong.checkpoints.torch_writer import write_torch
from mindlong.checkpoints.weight_file import WeightFile
from mindlong.checkpoints.zip_layout import read_layout
from mindlong.utils import atomic
from mindlong.utils.log import once
from mindlong.utils.shown import shown

if TYPE_CHECKING:
    from mindlong.checkpoints.lazy import Lazy

__all__ = ["WeightFile", "open_named", "open_weights", "write_safetensors", "write_torch"]

_READERS = {  # modules with a function `opened`, imported when a file of the kind is read
    SAFETENSORS: "safetensors_file",
    MINDSPORE: "mindspore_file",
    NPZ: "npz_file",
    TORCH: "torch_reader",
}
_SUFFIXES = {
    "PyTorch": (".pt", ".pth", ".bin", ".ckpt", ".pkl"),
    "safetensors": (".safetensors", ".sft"),
    "MindSpore": (".ckpt",),
    "numpy": (".npz",),
}


def open_weights(path: str | Path, inert: Sequence[str] = ()) -> WeightFile:
    """Open a weight file, an index of shards, or a folder that holds one of them, a checkpoint or a
    run. A file of a checkpoint of ours is compared with its manifest, once in a process.

    Args:
        inert: see `TorchFile`.

    Raises:
        InputFileError: nothing there, or not weights (the sentence says what it is instead).
        CorruptCheckpoint, UnsafeCheckpoint: see `TorchFile`.
    """
    path = Path(path)
    with reading(path):
        return _open(path, inert)


def open_named(weights: str, key: str = "weights") -> WeightFile:
    """The open weights that `weights` means; remarks on them go to the log, once.

    `key` is what the user wrote it under. Raises InputFileError where there are none, or damaged
    ones.
    """
    held = open_weights(locate(weights, key))
    for note in held.notes:
        once(f"{shown(held.path)}: {shown(note)}", logging.WARNING)
    return held


def _open(path: Path, inert: Sequence[str]) -> WeightFile:
    again = functools.partial(open_weights, inert=inert)
    if path.is_dir():
        return open_folder(path, again)
    remark = manifest.verify(path) if path.is_file() else ""
    if path.name.endswith(shards.SUFFIX):
        weights = shards.open_sharded(path, again)
    else:
        reader = importlib.import_module(f"mindlong.checkpoints.{_READERS[_format_of(path)]}")
        weights = _with_note(reader.opened(path, inert))
    config = config_beside(path)
    weights = replace(weights, configs={"": config}) if config else weights
    return with_names(replace(weights, notes=(*weights.notes, remark)) if remark else weights)


def _format_of(path: Path) -> str:
    kind = kind_of(path)
    if kind != ZIP:
        return kind
    names = list(read_layout(path))
    return NPZ if names and all(name.endswith(".npy") for name in names) else TORCH


def write_safetensors(
    path: str | Path,
    arrays: Mapping[str, np.ndarray | Lazy],
    metadata: Mapping[str, str] | None = None,
    dtype: str | None = None,
) -> None:
    """Write a safetensors file, whole or not at all, one tensor in memory at a time.

    Args:
        dtype: "float32", "float16" or "bfloat16": floating tensors are cast to it; None keeps each
            as it is.

    Raises:
        UserError: a value beyond the range of `dtype`.
    """
    with atomic.replacing(path) as aside, aside.open("wb") as file:

        def patch(place: int, data: bytes) -> None:
            file.seek(place)
            file.write(data)

        safetensors_file.write(
            file.write, arrays, {"format": "pt", **(metadata or {})}, dtype, patch
        )
        file.flush()


def _with_note(weights: WeightFile) -> WeightFile:
    if weights.path.suffix.lower() in _SUFFIXES[weights.kind]:
        return weights
    note = (
        f"{weights.path.name} is a {weights.kind} file by its content; its suffix does not say so"
    )
    return replace(weights, notes=(*weights.notes, note))
