"""Weights in several files with an `*.index.json` that says which tensor is where."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from mindlong.checkpoints.faults import CorruptCheckpoint
from mindlong.checkpoints.weight_file import WeightFile
from mindlong.utils.errors import InputFileError

SUFFIX = ".index.json"
MAX_INDEX = 64 << 20  # bytes


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
    if not path.is_file():
        raise InputFileError(f"{path}: there is no such file")
    try:
        data = json.loads(path.read_bytes()[:MAX_INDEX])
        table = dict(data["weight_map"].items())
        sound = all(
            isinstance(v, str) and v and Path(v).name == v and v not in (".", "..")
            for v in table.values()
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        sound = False
    if not sound:
        raise CorruptCheckpoint(
            f"{path}: not an index of shards (a table weight_map: tensor -> file beside it)"
        )
    return table


def _beside(index: Path, name: str) -> Path:
    path = index.with_name(name)
    if not path.is_file():
        raise InputFileError(f"{index}: the shard {name} is missing beside it")
    if name.endswith(SUFFIX):
        raise CorruptCheckpoint(f"{index}: names another index as a shard")
    return path
