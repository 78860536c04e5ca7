"""numpy's .npz as weights: uncompressed records, read one by one; objects (pickles) are refused."""

from __future__ import annotations

import functools
import io
import tokenize
import zlib
from math import prod
from pathlib import Path

import numpy as np

from mindlong.checkpoints.dtypes import FORMATS
from mindlong.checkpoints.faults import CorruptCheckpoint, UnsafeCheckpoint
from mindlong.checkpoints.lazy import Lazy
from mindlong.checkpoints.safetensors_file import fill
from mindlong.checkpoints.zip_layout import Record, compare_crc, read_layout

HEAD = 1 << 16  # bytes of a record that hold its header


def read_table(path: Path) -> dict[str, Lazy]:
    """Name -> array of an .npz file.

    Raises:
        UnsafeCheckpoint: an array of objects, or compressed records. CorruptCheckpoint: a damaged
            file.
    """
    return {
        name.removesuffix(".npy"): _row(path, name, record)
        for name, record in read_layout(path).items()
    }


def is_npz(names: list[str]) -> bool:
    """True where the records of a zip archive are those of an .npz."""
    return bool(names) and all(name.endswith(".npy") for name in names)


def _row(path: Path, name: str, record: Record) -> Lazy:
    with path.open("rb") as file:
        file.seek(record.begin)
        head = io.BytesIO(file.read(min(record.size, HEAD)))
    try:
        version = np.lib.format.read_magic(head)
        reader = (
            np.lib.format.read_array_header_1_0
            if version == (1, 0)
            else np.lib.format.read_array_header_2_0
        )
        shape, fortran, dtype = reader(head)
    except (
        ValueError,
        SyntaxError,
        MemoryError,
        RecursionError,
        TypeError,
        tokenize.TokenError,
    ) as error:
        raise CorruptCheckpoint(
            f"{path}: {name!r} is not a numpy array ({str(error)[:80]})"
        ) from error
    form = FORMATS.get(dtype.name)
    if form is None or dtype.byteorder == ">":
        raise UnsafeCheckpoint(
            f"{path}: {name!r} is an array of {dtype.name}, which is not read here"
        )
    if head.tell() + prod(shape) * form.size != record.size:
        raise CorruptCheckpoint(
            f"{path}: {name!r} of shape {list(shape)} does not have the bytes of its record"
        )
    read = functools.partial(_read, path, name, record, head.tell(), shape, fortran, dtype)
    return Lazy(tuple(shape), form.name, read)


def _read(
    path: Path, name: str, record: Record, skip: int, shape: tuple, fortran: bool, dtype: np.dtype
) -> np.ndarray:
    raw, what = np.empty(shape[::-1] if fortran else shape, dtype), f"{path}: {name!r}"
    with path.open("rb", buffering=0) as file:
        file.seek(record.begin)
        crc = zlib.crc32(file.read(skip))
        fill(file, record.begin + skip, raw, what)
    compare_crc(zlib.crc32(memoryview(raw.reshape(-1).view(np.uint8)), crc), record, what)
    return np.ascontiguousarray(raw.T) if fortran else raw
