"""numpy's .npz as weights: uncompressed records, read one by one; objects (pickles) are refused."""

from __future__ import annotations

import functools
import io
import tokenize
import zlib
from collections.abc import Sequence
from math import prod
from pathlib import Path
from typing import NamedTuple

import numpy as np

from mindlong.checkpoints.dtypes import FOREIGN, FORMATS, problem_of_shape, raw_bytes, unread
from mindlong.checkpoints.faults import CorruptCheckpoint, ForeignFile, UnsafeCheckpoint, reading
from mindlong.checkpoints.lazy import Lazy
from mindlong.checkpoints.safetensors_file import fill
from mindlong.checkpoints.weight_file import WeightFile
from mindlong.checkpoints.zip_layout import Record, compare_crc, read_layout, read_record

HEAD = 1 << 16  # bytes of a record that hold its header
_DAMAGED = (
    ValueError,
    SyntaxError,
    MemoryError,
    RecursionError,
    TypeError,
    KeyError,
    IndexError,
    OverflowError,
    tokenize.TokenError,
)


def read_table(path: Path) -> tuple[dict[str, Lazy], dict[str, str]]:
    """Name -> array of an .npz file, and name -> text of single texts beside them.

    Raises:
        UnsafeCheckpoint: an array of objects, or compressed records. CorruptCheckpoint: a damaged
            file. ForeignFile: number formats that are not read.
    """
    rows, texts, foreign = {}, {}, []
    for record_name, record in read_layout(path).items():
        name, header = record_name.removesuffix(".npy"), _header(path, record_name, record)
        if header.dtype.kind in "SU" and header.shape == ():
            texts[name] = _text(path, record_name, record, header)
        elif header.dtype.name in FOREIGN.values():
            foreign.append((name, header.dtype.name))
        else:
            rows[name] = _row(path, record_name, record, header)
    if foreign:
        raise ForeignFile(f"{path}: {unread(foreign)}")
    return rows, texts


class _Header(NamedTuple):
    shape: tuple[int, ...]
    fortran: bool
    dtype: np.dtype
    skip: int  # bytes before the numbers


def _header(path: Path, name: str, record: Record) -> _Header:
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
        return _Header(shape, fortran, dtype, head.tell())
    except _DAMAGED as error:
        raise CorruptCheckpoint(
            f"{path}: {name!r} is not a numpy array ({str(error)[:80]!r})"
        ) from error


def _text(path: Path, name: str, record: Record, header: _Header) -> str:
    if not 0 < header.dtype.itemsize <= HEAD or header.skip + header.dtype.itemsize != record.size:
        raise CorruptCheckpoint(f"{path}: the text {name!r} does not have the bytes of its record")
    data = read_record(path, name, record, 2 * HEAD)[header.skip :]
    try:
        value = np.frombuffer(data, header.dtype)[0]
        return value.decode("utf-8") if isinstance(value, bytes) else str(value)
    except (ValueError, UnicodeError) as error:
        raise CorruptCheckpoint(f"{path}: the text {name!r} is damaged") from error


def _row(path: Path, name: str, record: Record, header: _Header) -> Lazy:
    shape, fortran, dtype, skip = header
    form = FORMATS.get(dtype.name)
    if form is None or dtype.byteorder == ">":
        raise UnsafeCheckpoint(
            f"{path}: {name!r} is an array of {dtype.name[:40]}, which is not read here"
        )
    problem = problem_of_shape(shape, form)
    if problem:
        raise CorruptCheckpoint(f"{path}: {name!r} has the {problem}")
    if skip + prod(shape) * form.size != record.size:
        raise CorruptCheckpoint(
            f"{path}: {name!r} of shape {list(shape)} does not have the bytes of its record"
        )
    read = functools.partial(_read, path, name, record, skip, shape, fortran, dtype)
    return Lazy(tuple(shape), form.name, read)


def _read(
    path: Path, name: str, record: Record, skip: int, shape: tuple, fortran: bool, dtype: np.dtype
) -> np.ndarray:
    what = f"{path}: {name!r}"
    with reading(path), path.open("rb", buffering=0) as file:
        raw = np.empty(shape[::-1] if fortran else shape, dtype)
        file.seek(record.begin)
        crc = zlib.crc32(file.read(skip))
        fill(file, record.begin + skip, raw, what)
    compare_crc(zlib.crc32(raw_bytes(raw), crc), record, what)
    return np.ascontiguousarray(raw.T) if fortran else raw


def opened(path: Path, inert: Sequence[str] = ()) -> WeightFile:
    """The file behind the interface of all formats; `inert` is of others."""
    return WeightFile(path, "numpy", *read_table(path))
