"""Safetensors files, read and written tensor by tensor, bfloat16 included.

Layout: 8 bytes little-endian header length, the header (JSON: name -> dtype, shape, data_offsets;
strings under `__metadata__`), then the data without holes. Files written here carry a CRC-32 of
every tensor (its name, format, shape and bytes) in the metadata, so that a changed byte is noticed;
files of others are read without that check.
"""

from __future__ import annotations

import functools
import json
import struct
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from io import FileIO
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from mindlong.checkpoints.dtypes import (
    BY_CODE,
    FOREIGN,
    Format,
    cast_target,
    decode,
    problem_of_shape,
    raw_bytes,
    unread,
)
from mindlong.checkpoints.faults import CorruptCheckpoint, ForeignFile, UnsafeCheckpoint, reading
from mindlong.checkpoints.lazy import Lazy, as_lazy
from mindlong.checkpoints.weight_file import WeightFile

MAX_HEADER = 100_000_000  # bytes, the format's own bound
MAX_TENSORS = 200_000
CHECKSUMS = "mindlong_crc32"


@dataclass(frozen=True)
class Slot:
    """Where a tensor lies: its format, its shape, and its first and last + 1 byte in the file."""

    form: Format
    shape: tuple[int, ...]
    begin: int
    end: int


def read_header(path: Path) -> tuple[dict[str, Slot], dict[str, str]]:
    """The slots of a file by name, and its metadata.

    Raises:
        CorruptCheckpoint: the header contradicts itself or the size of the file.
        ForeignFile: number formats that are not read. UnsafeCheckpoint: far too many tensors.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(8)
        length = struct.unpack("<Q", head)[0] if len(head) == 8 else 0
        if not 2 <= length <= MAX_HEADER:
            raise CorruptCheckpoint(
                f"{path}: not a safetensors file (its header would be {length} bytes long)"
            )
        if 8 + length > size:
            raise CorruptCheckpoint(
                f"{path}: cut short: {size} bytes, its header alone needs {8 + length}"
            )
        text = file.read(length)
    table = _json(path, text)
    if len(table) > MAX_TENSORS:
        raise UnsafeCheckpoint(
            f"{path}: {len(table)} tensors; weight files have far fewer than {MAX_TENSORS}"
        )
    metadata = table.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(v, str) for v in metadata.values()):
        raise CorruptCheckpoint(f"{path}: its metadata is not a table of strings")
    _refuse_unread(path, table)
    slots = {name: _slot(path, name, row, 8 + length) for name, row in table.items()}
    _check_layout(path, slots, 8 + length, size)
    return slots, metadata


def _json(path: Path, text: bytes) -> dict:
    def unique(pairs: list[tuple[str, object]]) -> dict:
        table = dict(pairs)
        if len(table) != len(pairs):
            raise CorruptCheckpoint(f"{path}: a name stands twice in its header")
        return table

    try:
        table = json.loads(text.decode("utf-8"), object_pairs_hook=unique)
    except (ValueError, RecursionError) as error:
        raise CorruptCheckpoint(
            f"{path}: its header is not readable ({str(error)[:80]})"
        ) from error
    if not isinstance(table, dict):
        raise CorruptCheckpoint(f"{path}: its header is not a table of tensors")
    return table


def _refuse_unread(path: Path, table: Mapping[str, object]) -> None:
    """Raise ForeignFile where tensors have formats that are known and not read."""
    codes = [(name, row.get("dtype")) for name, row in table.items() if isinstance(row, dict)]
    found = [(name, FOREIGN[c]) for name, c in codes if isinstance(c, str) and c in FOREIGN]
    if found:
        raise ForeignFile(f"{path}: {unread(found)}")


def _fit(shape: Any, offsets: Any) -> bool:
    return _naturals(shape) and _naturals(offsets) and len(offsets) == 2


def _slot(path: Path, name: str, row: object, start: int) -> Slot:
    said: dict[str, Any] = row if isinstance(row, dict) else {}
    code, shape, offsets = said.get("dtype"), said.get("shape"), said.get("data_offsets")
    if not isinstance(code, str) or code not in BY_CODE:
        raise CorruptCheckpoint(f"{path}: {name!r} has the unknown number format {code!r}")
    if shape is None or offsets is None or not _fit(shape, offsets):
        raise CorruptCheckpoint(f"{path}: the header's row for {name!r} is damaged")
    problem = problem_of_shape(shape, BY_CODE[code])
    if problem:
        raise CorruptCheckpoint(f"{path}: {name!r} has the {problem}")
    begin, end = offsets
    if end - begin != prod(shape) * BY_CODE[code].size:
        raise CorruptCheckpoint(
            f"{path}: {name!r} of shape {shape} {code} needs {prod(shape) * BY_CODE[code].size} "
            f"bytes, the header gives it {end - begin}"
        )
    return Slot(BY_CODE[code], tuple(shape), start + begin, start + end)


def _naturals(values: object) -> bool:
    return isinstance(values, list) and all(type(v) is int and 0 <= v < 2**63 for v in values)


def _check_layout(path: Path, slots: Mapping[str, Slot], start: int, size: int) -> None:
    place = start
    for name, slot in sorted(slots.items(), key=lambda item: (item[1].begin, item[1].end)):
        if slot.begin != place:
            what = (
                "overlaps the tensor before it" if slot.begin < place else "leaves a hole before it"
            )
            raise CorruptCheckpoint(f"{path}: {name!r} {what}")
        place = slot.end
    if place > size:
        raise CorruptCheckpoint(
            f"{path}: cut short: {size} bytes, its header describes {place} (a stopped download?)"
        )
    if place < size:
        raise CorruptCheckpoint(f"{path}: {size - place} bytes too many behind its tensors")


def read_slot(path: Path, name: str, slot: Slot, crc: int | None = None) -> np.ndarray:
    """One tensor as stored (bfloat16 as uint16 bits). Raises CorruptCheckpoint where its bytes were
    changed.
    """
    with reading(path), path.open("rb", buffering=0) as file:
        raw = np.empty(slot.shape, slot.form.raw)
        fill(file, slot.begin, raw, f"{path}: {name!r}")
    if crc is not None and checksum(name, slot.form, raw) != crc:
        raise CorruptCheckpoint(
            f"{path}: the bytes of {name!r} were changed after the file was written (CRC-32)"
        )
    return raw


def read_all(path: Path) -> dict[str, np.ndarray]:
    """Every tensor of a file by name. Raises CorruptCheckpoint where the file is damaged."""
    slots, metadata = read_header(path)
    crc = checksums(path, slots, metadata)
    return {
        name: decode(read_slot(path, name, slot, crc.get(name)), slot.form)
        for name, slot in slots.items()
    }


def fill(file: FileIO, begin: int, raw: np.ndarray, what: str) -> None:
    """Fill a C-ordered array from the bytes of `file` at `begin`, without a copy in between."""
    view, done = raw_bytes(raw), 0
    file.seek(begin)
    while done < len(view):
        count = file.readinto(view[done : done + (1 << 26)])
        if not count:
            raise CorruptCheckpoint(f"{what}: the file ends {len(view) - done} bytes early")
        done += count


def checksum(name: str, form: Format, raw: np.ndarray) -> int:
    """CRC-32 of a tensor as it is stored, together with what the header says of it."""
    head = f"{name}\0{form.code}\0{list(raw.shape)}\0".encode("utf-8", "surrogatepass")
    return zlib.crc32(raw_bytes(raw), zlib.crc32(head))


def checksums(path: Path, slots: Mapping[str, Slot], metadata: Mapping[str, str]) -> dict[str, int]:
    """The CRC-32 of every tensor that the file's writer left in the metadata; empty where it left
    none.
    """
    if CHECKSUMS not in metadata:
        return {}
    words = metadata[CHECKSUMS].split()
    try:
        numbers = [int(word, 16) for word in words]
    except ValueError:
        numbers = []
    if len(numbers) != len(slots):
        raise CorruptCheckpoint(f"{path}: its list of checksums is damaged")
    return dict(
        zip(in_order({name: slot.form for name, slot in slots.items()}), numbers, strict=True)
    )


def in_order(forms: Mapping[str, Format]) -> list[str]:
    """The order in which tensors lie in files written here: wide numbers first, so that all are
    aligned.
    """
    return sorted(forms, key=lambda name: (-forms[name].size, name))


def write(
    sink: Callable[[bytes | memoryview], object],
    arrays: Mapping[str, np.ndarray | Lazy],
    metadata: Mapping[str, str] | None = None,
    dtype: str | None = None,
    patch: Callable[[int, bytes], None] | None = None,
) -> None:
    """Hand the bytes of a safetensors file to `sink`, piece by piece, holding one tensor at a time.

    Args:
        dtype: floating tensors are cast to it; None keeps each as it is.
        patch: overwrites bytes at a place already handed out; given, the file carries checksums.

    Raises:
        UserError: a value beyond the range of `dtype`.
    """
    forms = {name: cast_target(as_lazy(array).dtype, dtype) for name, array in arrays.items()}
    sources = {name: as_lazy(arrays[name]) for name in in_order(forms)}
    crc = dict.fromkeys(sources, 0)
    sink(_header(sources, forms, metadata, crc if patch else None))
    for name, source in sources.items():
        raw = source.stored(forms[name], name)
        crc[name] = checksum(name, forms[name], raw) if patch else 0
        sink(raw_bytes(raw))
        del raw
    if patch:
        patch(0, _header(sources, forms, metadata, crc))


def _header(
    sources: Mapping[str, Lazy],
    forms: Mapping[str, Format],
    metadata: Mapping[str, str] | None,
    crc: Mapping[str, int] | None,
) -> bytes:
    table: dict[str, Any] = {}
    place = 0
    about = dict(metadata or {})
    if crc is not None:
        about[CHECKSUMS] = " ".join(f"{crc[name]:08x}" for name in sources)
    if about:
        table["__metadata__"] = about
    for name, source in sources.items():
        end = place + prod(source.shape) * forms[name].size
        table[name] = {
            "dtype": forms[name].code,
            "shape": list(source.shape),
            "data_offsets": [place, end],
        }
        place = end
    text = json.dumps(table, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text


def opened(path: Path, inert: Sequence[str] = ()) -> WeightFile:
    """The file behind the interface of all formats; `inert` is of others."""
    slots, metadata = read_header(path)
    crc = checksums(path, slots, metadata)
    rows = {
        name: Lazy(
            slot.shape,
            slot.form.name,
            functools.partial(read_slot, path, name, slot, crc.get(name)),
        )
        for name, slot in slots.items()
    }
    metadata.pop(CHECKSUMS, None)
    return WeightFile(path, "safetensors", rows, dict(metadata))
