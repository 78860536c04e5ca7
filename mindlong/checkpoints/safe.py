"""safetensors files, read and written without any framework; bfloat16 included.

Format: 8 bytes little-endian header length, a JSON header {name: {dtype, shape, data_offsets}}, then the data.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

import numpy as np

from mindlong.utils.errors import InputFileError

CODES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "i1", "U8": "u1", "BOOL": "?",
         "U16": "<u2", "U32": "<u4", "U64": "<u8"}  # fmt: skip
NAMES = {np.dtype(code).newbyteorder("="): name for name, code in CODES.items()}
HEADER_LIMIT = 100_000_000  # as the format's own reader


def write(path: Path, arrays: Mapping[str, np.ndarray], metadata: Mapping[str, str] | None = None, dtype: str | None = None) -> None:
    """Write `arrays` to `path`; floating ones are cast to `dtype` ("F32", "F16", "BF16") if given.

    Not atomic by itself: callers write aside (utils.atomic.replacing) or into a folder that does not exist yet.
    """
    header: dict[str, object] = {"__metadata__": dict(metadata)} if metadata else {}
    end = 0
    for name, array in arrays.items():
        kind = _kind(array, dtype)
        size = array.size * (2 if kind == "BF16" else np.dtype(CODES[kind]).itemsize)
        header[name] = {"dtype": kind, "shape": list(array.shape), "data_offsets": [end, end + size]}
        end += size
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for array in arrays.values():
            file.write(_bytes(array, _kind(array, dtype)))


def _kind(array: np.ndarray, dtype: str | None) -> str:
    if dtype and np.issubdtype(array.dtype, np.floating):
        return dtype
    return NAMES[array.dtype.newbyteorder("=")]


def _bytes(array: np.ndarray, kind: str) -> bytes:
    if kind == "BF16":
        return to_bfloat16(array).tobytes()
    return np.ascontiguousarray(array, CODES[kind]).tobytes()


def to_bfloat16(array: np.ndarray) -> np.ndarray:
    """float32 as the uint16 words of bfloat16, rounded to nearest even; NaN stays NaN."""
    words = np.ascontiguousarray(array, np.float32).view(np.uint32)
    rounded = ((words + 0x7FFF + ((words >> 16) & 1)) >> 16).astype(np.uint16)
    return np.where(np.isnan(array), np.uint16(0x7FC0), rounded)


def from_bfloat16(words: np.ndarray) -> np.ndarray:
    """The uint16 words of bfloat16 as float32, exactly."""
    return (words.astype(np.uint32) << 16).view(np.float32)


def read_header(file: BinaryIO, path: Path) -> tuple[dict[str, dict], dict[str, str], int]:
    """(entries, metadata, where the data begins), every offset checked. Raises InputFileError naming what is wrong."""
    size = path.stat().st_size
    start = file.read(8)
    length = struct.unpack("<Q", start)[0] if len(start) == 8 else size
    if length > min(size - 8, HEADER_LIMIT):
        raise InputFileError(f"{path}: not a safetensors file, or cut short ({size} bytes, header of {length})")
    try:
        header = json.loads(file.read(length))
        metadata = header.pop("__metadata__", {})
        _check(header, size - 8 - length)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputFileError(f"{path}: damaged safetensors header ({error})") from None
    return header, metadata, 8 + length


def _check(header: dict[str, dict], available: int) -> None:
    end = 0
    for name, entry in sorted(header.items(), key=lambda item: item[1]["data_offsets"]):
        begin, stop = entry["data_offsets"]
        width = 2 if entry["dtype"] == "BF16" else np.dtype(CODES[entry["dtype"]]).itemsize
        if any(type(n) is not int or n < 0 for n in entry["shape"]):
            raise ValueError(f"{name} has the shape {entry['shape']}")
        wanted = width
        for n in entry["shape"]:
            wanted *= n
        if begin != end or stop - begin != wanted:
            raise ValueError(f"{name} lies at {begin}..{stop}, expected {end}..{end + wanted}")
        end = stop
    if end != available:
        raise ValueError(f"{available} bytes of data, {end} described; the file is cut short or has a tail")


def read(path: Path) -> dict[str, np.ndarray]:
    """Every array of a file; bfloat16 comes as float32. Raises InputFileError where the file is damaged."""
    with path.open("rb") as file:
        header, _, start = read_header(file, path)
        return {name: read_one(file, start, entry) for name, entry in header.items()}


def read_one(file: BinaryIO, start: int, entry: dict) -> np.ndarray:
    """The array of one header entry."""
    begin, stop = entry["data_offsets"]
    file.seek(start + begin)
    data = file.read(stop - begin)
    if entry["dtype"] == "BF16":
        return from_bfloat16(np.frombuffer(data, "<u2")).reshape(entry["shape"])
    return np.frombuffer(data, CODES[entry["dtype"]]).reshape(entry["shape"]).copy()
