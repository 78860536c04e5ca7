"""Weight files of every kind behind one interface: names, shapes, formats, and tensors read one at
a time.

The content decides what a file is, never its suffix.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from mindlong.checkpoints import (
    manifest,
    mindone_names,
    mindspore_file,
    npz_file,
    safetensors_file,
    shards,
)
from mindlong.checkpoints.faults import reading
from mindlong.checkpoints.folders import config_beside, open_folder
from mindlong.checkpoints.kinds import MINDSPORE, SAFETENSORS, kind_of
from mindlong.checkpoints.lazy import Lazy
from mindlong.checkpoints.nameless_copies import with_names
from mindlong.checkpoints.torch_reader import TorchFile
from mindlong.checkpoints.torch_writer import write_torch
from mindlong.checkpoints.weight_file import WeightFile
from mindlong.checkpoints.zip_layout import read_layout
from mindlong.utils import atomic

__all__ = ["WeightFile", "open_weights", "write_safetensors", "write_torch"]

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


def _open(path: Path, inert: Sequence[str]) -> WeightFile:
    again = functools.partial(open_weights, inert=inert)
    if path.is_dir():
        return open_folder(path, again)
    remark = manifest.verify(path) if path.is_file() else ""
    if path.name.endswith(shards.SUFFIX):
        weights = shards.open_sharded(path, again)
    else:
        opener = {SAFETENSORS: _open_safetensors, MINDSPORE: _open_mindspore}.get(kind_of(path))
        weights = _with_note(opener(path) if opener else _open_zip(path, inert))
    config = config_beside(path)
    weights = replace(weights, configs={"": config}) if config else weights
    return with_names(replace(weights, notes=(*weights.notes, remark)) if remark else weights)


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


def _open_safetensors(path: Path) -> WeightFile:
    slots, metadata = safetensors_file.read_header(path)
    crc = safetensors_file.checksums(path, slots, metadata)
    read = safetensors_file.read_slot
    rows = {
        name: Lazy(
            slot.shape, slot.form.name, functools.partial(read, path, name, slot, crc.get(name))
        )
        for name, slot in slots.items()
    }
    metadata.pop(safetensors_file.CHECKSUMS, None)
    return WeightFile(path, "safetensors", rows, dict(metadata))


def _open_mindspore(path: Path) -> WeightFile:
    rows, texts = mindspore_file.read_table(path)
    if not mindone_names.is_mindone(rows):
        return WeightFile(path, "MindSpore", rows, texts)
    note = f"{path.name} has mindone's names; its tensors are read under those of CompVis' files"
    return WeightFile(path, "MindSpore", mindone_names.renamed(rows), texts, (note,))


def _open_zip(path: Path, inert: Sequence[str]) -> WeightFile:
    if npz_file.is_npz(list(read_layout(path))):
        return WeightFile(path, "numpy", *npz_file.read_table(path))
    opened = TorchFile(path, inert)
    rows = {
        name: Lazy(ref.shape, ref.storage.form.name, functools.partial(opened.stored, name))
        for name, ref in opened.tensors.items()
    }
    return WeightFile(path, "PyTorch", rows, dict(opened.scalars), opened.notes)


def _with_note(weights: WeightFile) -> WeightFile:
    if weights.path.suffix.lower() in _SUFFIXES[weights.kind]:
        return weights
    note = (
        f"{weights.path.name} is a {weights.kind} file by its content; its suffix does not say so"
    )
    return replace(weights, notes=(*weights.notes, note))
