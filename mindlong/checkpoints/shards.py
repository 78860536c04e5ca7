"""Weights in several files with an `*.index.json` that says which tensor is where."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from mindlong.checkpoints.faults import CorruptCheckpoint
from mindlong.checkpoints.weight_file import WeightFile
from mindlong.utils.errors import InputFileError
from mindlong.utils.json_file import read_table
from mindlong.utils.shown import shown

SUFFIX = ".index.json"
MAX_INDEX = 64 << 20  # bytes
MAX_NAME = 255  # bytes of a file's name


def open_sharded(path: Path, open_file: Callable[[Path], WeightFile]) -> WeightFile:
    """The shards that an index names, as one file.

    Raises:
        CorruptCheckpoint: no index, or it and its shards do not name the same tensors.
        InputFileError: a shard is missing.
    """
    table = read_index(path)
    shards = {name: open_file(_beside(path, name)) for name in sorted(set(table.values()))}
    rows = {}
    for name, shard in table.items():
        if name not in shards[shard]:
            raise CorruptCheckpoint(f"{path}: {name!r} should be in {shard} and is not")
        rows[name] = shards[shard].rows[name]
    left = [n for shard in shards.values() for n in shard if n not in table]
    if left:
        raise CorruptCheckpoint(
            f"{path}: {len(left)} tensors of its shards are not in the index, first {left[0]!r}"
        )
    kind = next(iter(shards.values())).kind if shards else "safetensors"
    return WeightFile(path, f"{kind}, {len(shards)} shards", rows)


def read_index(path: Path) -> dict[str, str]:
    """Tensor name -> shard. Raises CorruptCheckpoint where the file is no index; shards lie in its
    own folder.
    """
    data = read_table(path, "an index of shards", MAX_INDEX, CorruptCheckpoint)
    table = data.get("weight_map")
    if not isinstance(table, dict):
        raise CorruptCheckpoint(
            f"{path}: not an index of shards (a table weight_map: tensor -> file beside it)"
        )
    for name in dict.fromkeys(str(value) for value in table.values()):
        if not _is_plain(name):
            raise CorruptCheckpoint(
                f"{path}: not an index of shards: it names {shown(name, most=80)!r}, which is no "
                "file beside it"
            )
    if not all(isinstance(value, str) for value in table.values()):
        raise CorruptCheckpoint(f"{path}: not an index of shards: a shard's name is not text")
    return table


def _is_plain(name: str) -> bool:
    """Whether a file of that name can lie beside the index."""
    if Path(name).name != name or name in ("", ".", "..") or "\\" in name or "\0" in name:
        return False
    try:
        return len(os.fsencode(name)) <= MAX_NAME
    except UnicodeEncodeError:  # half a letter, which no file's name has
        return False


def _beside(index: Path, name: str) -> Path:
    path = index.with_name(name)
    if not path.is_file():
        raise InputFileError(f"{index}: the shard {name} is missing beside it")
    if name.endswith(SUFFIX):
        raise CorruptCheckpoint(f"{index}: names another index as a shard")
    return path
