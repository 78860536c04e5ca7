"""Weight files of every kind behind one interface: names, shapes, formats, and tensors read one at a time.

The content decides what a file is, never its suffix.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from mindlong.checkpoints import manifest, mindspore_file, npz_file, safetensors_file, store
from mindlong.checkpoints.faults import CorruptCheckpoint, ForeignFile
from mindlong.checkpoints.kinds import MINDSPORE, SAFETENSORS, kind_of
from mindlong.checkpoints.lazy import Lazy
from mindlong.checkpoints.torch_reader import TorchFile
from mindlong.checkpoints.torch_writer import write_torch
from mindlong.checkpoints.zip_layout import read_layout
from mindlong.utils import atomic
from mindlong.utils.errors import InputFileError, did_you_mean

__all__ = ["WeightFile", "open_weights", "write_safetensors", "write_torch"]

MAX_INDEX = 64 << 20  # bytes of an index.json
_SUFFIXES = {"PyTorch": (".pt", ".pth", ".bin", ".ckpt", ".pkl"), "safetensors": (".safetensors", ".sft"),
             "MindSpore": (".ckpt",), "numpy": (".npz",)}  # fmt: skip
_IN_FOLDERS = ("*.safetensors.index.json", "model.safetensors", "diffusion_pytorch_model.safetensors",
               "pytorch_model.safetensors", "*.bin.index.json", "*model.bin", "*.fp16.safetensors")  # fmt: skip


@dataclass(frozen=True)
class WeightFile(Mapping[str, np.ndarray]):
    """An open weight file: a mapping from names to arrays that are read when asked for.

    Attributes:
        path: where it is.
        kind: "safetensors", "PyTorch", "MindSpore", "numpy", each perhaps with ", N shards".
        rows: name -> tensor still to be read.
        metadata: numbers and text that stand beside the tensors.
        notes: remarks for the user, such as a suffix that does not match the content.
    """

    path: Path
    kind: str
    rows: dict[str, Lazy]
    metadata: dict[str, int | float | str | bool | None] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def names(self) -> list[str]:
        """Every tensor's name, in the order of the file."""
        return list(self.rows)

    def shape(self, name: str) -> tuple[int, ...]:
        """A tensor's shape, without reading it."""
        return self.lazy(name).shape

    def dtype(self, name: str) -> str:
        """How a tensor is stored: float32, float16, bfloat16, int64, ..."""
        return self.lazy(name).dtype

    def read(self, name: str) -> np.ndarray:
        """A tensor as a fresh array; bfloat16 comes as float32, all else as stored."""
        return self.lazy(name).read()

    def lazy(self, name: str) -> Lazy:
        """A tensor still to be read. Raises InputFileError where there is none of that name."""
        if name not in self.rows:
            raise InputFileError(f"{self.path} holds no tensor {name!r}.{did_you_mean(name, self.rows)}")
        return self.rows[name]

    def bytes(self) -> int:
        """Bytes of all tensors as stored."""
        return sum(row.bytes for row in self.rows.values())

    def __getitem__(self, name: str) -> np.ndarray:
        if name not in self.rows:
            raise KeyError(name)
        return self.rows[name].read()

    def __contains__(self, name: object) -> bool:
        return name in self.rows

    def __iter__(self) -> Iterator[str]:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)


def open_weights(path: str | Path, inert: Sequence[str] = ()) -> WeightFile:
    """Open a weight file, an index of shards, or a folder that holds one of them, a checkpoint or a run.

    Args:
        inert: see `TorchFile`.

    Raises:
        InputFileError: nothing there, or not weights (the sentence says what it is instead).
        CorruptCheckpoint, UnsafeCheckpoint: see `TorchFile`.
    """
    path = Path(path)
    if path.is_dir():
        return open_weights(_in_folder(path), inert)
    if path.name.endswith(".index.json"):
        return _open_sharded(path, inert)
    kind = kind_of(path)
    opener = {SAFETENSORS: _open_safetensors, MINDSPORE: _open_mindspore}.get(kind)
    weights = opener(path) if opener else _open_zip(path, inert)
    return _with_note(weights)


def write_safetensors(path: str | Path, arrays: Mapping[str, np.ndarray | Lazy],
                      metadata: Mapping[str, str] | None = None, dtype: str | None = None) -> None:
    """Write a safetensors file, whole or not at all, one tensor in memory at a time.

    Args:
        dtype: "float32", "float16" or "bfloat16": floating tensors are cast to it; None keeps each as it is.

    Raises:
        UserError: a value beyond the range of `dtype`.
    """
    with atomic.replacing(path) as aside, aside.open("wb") as file:
        def patch(place: int, data: bytes) -> None:
            file.seek(place)
            file.write(data)

        safetensors_file.write(file.write, arrays, {"format": "pt", **(metadata or {})}, dtype, patch)
        file.flush()


def _open_safetensors(path: Path) -> WeightFile:
    slots, metadata = safetensors_file.read_header(path)
    crc = safetensors_file.checksums(path, slots, metadata)
    read = safetensors_file.read_slot
    rows = {name: Lazy(slot.shape, slot.form.name, functools.partial(read, path, name, slot, crc.get(name)))
            for name, slot in slots.items()}
    metadata.pop(safetensors_file.CHECKSUMS, None)
    return WeightFile(path, "safetensors", rows, dict(metadata))


def _open_mindspore(path: Path) -> WeightFile:
    return WeightFile(path, "MindSpore", mindspore_file.read_table(path))


def _open_zip(path: Path, inert: Sequence[str]) -> WeightFile:
    if npz_file.is_npz(list(read_layout(path))):
        return WeightFile(path, "numpy", npz_file.read_table(path))
    opened = TorchFile(path, inert)
    rows = {name: Lazy(ref.shape, ref.storage.form.name, functools.partial(opened.read, name))
            for name, ref in opened.tensors.items()}
    return WeightFile(path, "PyTorch", rows, dict(opened.scalars))


def _with_note(weights: WeightFile) -> WeightFile:
    if weights.path.suffix.lower() in _SUFFIXES[weights.kind]:
        return weights
    note = f"{weights.path.name} is a {weights.kind} file by its content; its suffix does not say so"
    return WeightFile(weights.path, weights.kind, weights.rows, weights.metadata, (note,))


def _open_sharded(path: Path, inert: Sequence[str]) -> WeightFile:
    """The shards that an index names, as one file."""
    table = read_index(path)
    shards = {name: _shard(path, name, inert) for name in sorted(set(table.values()))}
    rows = {}
    for name, shard in table.items():
        if name not in shards[shard]:
            raise CorruptCheckpoint(f"{path}: {name!r} should be in {shard} and is not")
        rows[name] = shards[shard].rows[name]
    left = [n for shard in shards.values() for n in shard if n not in table]
    if left:
        raise CorruptCheckpoint(f"{path}: {len(left)} tensors of its shards are not in the index, first {left[0]!r}")
    kind = next(iter(shards.values())).kind if shards else "safetensors"
    return WeightFile(path, f"{kind}, {len(shards)} shards", rows)


def read_index(path: Path) -> dict[str, str]:
    """Tensor name -> shard, from an `*.index.json`. Raises CorruptCheckpoint where it is not one."""
    if not path.is_file():
        raise InputFileError(f"{path}: there is no such file")
    try:
        data = json.loads(path.read_bytes()[:MAX_INDEX])
        table = dict(data["weight_map"].items())
        sound = all(isinstance(v, str) and v and Path(v).name == v and v not in (".", "..") for v in table.values())
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        sound = False
    if not sound:
        raise CorruptCheckpoint(f"{path}: not an index of shards (a table weight_map: tensor -> file beside it)")
    return table


def _shard(index: Path, name: str, inert: Sequence[str]) -> WeightFile:
    path = index.with_name(name)
    if not path.is_file():
        raise InputFileError(f"{index}: the shard {name} is missing beside it")
    return open_weights(path, inert)


def _in_folder(folder: Path) -> Path:
    """The weights that a folder means."""
    if (folder / manifest.NAME).is_file():
        held = [name for name in ("ema", "network") if f"{name}.safetensors" in manifest.read(folder)["files"]]
        if held:
            return folder / f"{held[0]}.safetensors"
    newest = store.latest(folder) if (folder / store.FOLDER).is_dir() else None
    if newest is not None:
        return newest
    for pattern in _IN_FOLDERS:
        found = sorted(folder.glob(pattern))
        if found:
            return found[0]
    if (folder / "model_index.json").is_file():
        parts = sorted(p.name for p in folder.iterdir() if p.is_dir())
        raise ForeignFile(f"{folder}: a whole diffusers pipeline; name one of its parts: {', '.join(parts)}")
    single = [p for p in sorted(folder.iterdir()) if p.suffix in sum(_SUFFIXES.values(), ())]
    if len(single) == 1:
        return single[0]
    raise InputFileError(f"{folder}: {len(single) or 'no'} weight files in it; name the file")
