"""Where the records of an uncompressed zip archive lie. Nothing is unpacked; what weight files do
not need is refused.

PyTorch's files and numpy's .npz are such archives. The standard library's reader is lenient
(compressed records, overlaps, names that differ between the two headers); here a record is a range
of bytes, or the file is an error.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from mindlong.checkpoints.faults import CorruptCheckpoint, UnsafeCheckpoint

MAX_RECORDS = 200_000
MAX_DIRECTORY = 64 << 20  # bytes
PIECE = 1 << 18
_END, _END64, _LOCATOR64 = (
    struct.Struct("<4s4H2LH"),
    struct.Struct("<4sQ2H2L4Q"),
    struct.Struct("<4sLQL"),
)
_ENTRY, _LOCAL = struct.Struct("<4s6H3L5H2L"), struct.Struct("<4s5H3L2H")
_FULL16, _FULL32 = 0xFFFF, 0xFFFFFFFF


@dataclass(frozen=True)
class Record:
    """A stored file: its first byte, its size in bytes, and the CRC-32 it must have."""

    begin: int
    size: int
    crc: int


@dataclass(frozen=True)
class _Entry:
    name: str
    size: int
    crc: int
    header: int  # where its local header begins


def read_layout(path: Path) -> dict[str, Record]:
    """The records of an archive by name.

    Raises:
        CorruptCheckpoint: cut short, or its headers contradict each other.
        UnsafeCheckpoint: compressed or encrypted records, two of one name, or records that share
            bytes.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        count, length, begin = _directory_place(file, size, path)
        file.seek(begin)
        entries = list(_entries(file.read(length), count, path))
        records = {entry.name: _record(file, entry, begin, path) for entry in entries}
    if len(records) != len(entries):
        raise UnsafeCheckpoint(f"{path}: two records of the archive have one name")
    _check_overlap(records, entries, path)
    return records


def check_crc(file: BinaryIO, record: Record, what: str) -> None:
    """Read a record piece by piece and compare its CRC-32. Raises CorruptCheckpoint where its bytes
    were changed.
    """
    file.seek(record.begin)
    left, crc = record.size, 0
    while left:
        piece = file.read(min(left, PIECE))
        if not piece:
            raise CorruptCheckpoint(f"{what}: the file ends {left} bytes early")
        crc, left = zlib.crc32(piece, crc), left - len(piece)
    compare_crc(crc, record, what)


def compare_crc(crc: int, record: Record, what: str) -> None:
    """Raise CorruptCheckpoint where `crc` is not the record's."""
    if crc != record.crc:
        raise CorruptCheckpoint(
            f"{what}: its bytes were changed after the file was written (CRC-32 is {crc:08x}, "
            f"must be {record.crc:08x})"
        )


def read_record(path: Path, name: str, record: Record, most: int) -> bytes:
    """A small record whole, its CRC compared. Raises CorruptCheckpoint where it is damaged or above
    `most` bytes.
    """
    if record.size > most:
        raise UnsafeCheckpoint(
            f"{path}: its record {name!r} has {record.size} bytes; at most {most} make sense"
        )
    with path.open("rb") as file:
        file.seek(record.begin)
        data = file.read(record.size)
    compare_crc(zlib.crc32(data), record, f"{path}: {name!r}")
    return data


def _directory_place(file: BinaryIO, size: int, path: Path) -> tuple[int, int, int]:
    """Of the central directory: how many entries, how many bytes, and where it begins."""
    begin = max(size - _END.size - _FULL16, 0)
    file.seek(begin)
    tail = file.read()
    at = tail.rfind(b"PK\5\6", 0, max(len(tail) - _END.size + 4, 0))
    if at < 0:
        raise CorruptCheckpoint(
            f"{path}: a zip archive cut short: its table of contents, which stands at the end, is "
            f"missing; the file has {size} bytes (a download or a save that stopped?)"
        )
    _, disk, first, here, count, length, place, comment = _END.unpack_from(tail, at)
    if at + _END.size + comment != len(tail) or disk or first or here != count:
        raise CorruptCheckpoint(f"{path}: the end of its zip archive is damaged")
    limit = begin + at
    if tail[max(at - _LOCATOR64.size, 0) : at].startswith(b"PK\6\7"):
        count, length, place, limit = _directory_place64(file, limit, path)
    if place + length != limit:
        raise CorruptCheckpoint(
            f"{path}: its zip table of contents is not where the end of the file says"
        )
    if count > MAX_RECORDS or length > MAX_DIRECTORY:
        raise UnsafeCheckpoint(
            f"{path}: {count} records with {length} bytes of contents; weight files have far fewer"
        )
    return count, length, place


def _directory_place64(file: BinaryIO, locator: int, path: Path) -> tuple[int, int, int, int]:
    """The same for archives above 4 GiB, from the record before the last; and where that record
    begins.
    """
    file.seek(locator - _LOCATOR64.size)
    _, _, place, _ = _LOCATOR64.unpack(file.read(_LOCATOR64.size))
    file.seek(min(place, locator))
    data = file.read(_END64.size)
    if place + _END64.size + _LOCATOR64.size != locator or not data.startswith(b"PK\6\6"):
        raise CorruptCheckpoint(f"{path}: the end of its zip archive is damaged")
    *_, disk, first, here, count, length, begin = _END64.unpack(data)
    if disk or first or here != count:
        raise CorruptCheckpoint(f"{path}: the end of its zip archive is damaged")
    return count, length, begin, place


def _entries(directory: bytes, count: int, path: Path) -> Iterator[_Entry]:
    place = 0
    for _ in range(count):
        if len(directory) - place < _ENTRY.size or not directory.startswith(b"PK\1\2", place):
            raise CorruptCheckpoint(f"{path}: its zip table of contents is damaged")
        fields = _ENTRY.unpack_from(directory, place)
        flags, method, crc, packed, size = fields[3], fields[4], fields[7], fields[8], fields[9]
        lengths, header = fields[10:13], fields[16]
        text, extra = place + _ENTRY.size, place + _ENTRY.size + lengths[0]
        name = _name(directory[text:extra], path)
        packed, size, header = _wide(
            directory[extra : extra + lengths[1]], packed, size, header, path
        )
        if method != 0 or packed != size:
            raise UnsafeCheckpoint(
                f"{path}: its record {name!r} is compressed; weight files are stored as they are"
            )
        if flags & 1:
            raise UnsafeCheckpoint(f"{path}: its record {name!r} is encrypted")
        yield _Entry(name, size, crc, header)
        place = text + sum(lengths)
    if place != len(directory):
        raise CorruptCheckpoint(f"{path}: its zip table of contents is damaged")


def _name(raw: bytes, path: Path) -> str:
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise CorruptCheckpoint(f"{path}: a record's name is not text") from error


def _wide(extra: bytes, packed: int, size: int, header: int, path: Path) -> tuple[int, int, int]:
    """Sizes and place from the 64-bit field, where the 32-bit ones are full."""
    if _FULL32 not in (packed, size, header):
        return packed, size, header
    values = iter(_field64(extra))
    try:
        size = next(values) if size == _FULL32 else size
        packed = next(values) if packed == _FULL32 else packed
        return packed, size, next(values) if header == _FULL32 else header
    except StopIteration:
        raise CorruptCheckpoint(
            f"{path}: its zip table of contents lacks the sizes of a large record"
        ) from None


def _field64(extra: bytes) -> tuple[int, ...]:
    place = 0
    while len(extra) - place >= 4:
        kind, length = struct.unpack_from("<2H", extra, place)
        if kind == 1 and len(extra) - place - 4 >= length:
            return struct.unpack_from(f"<{length // 8}Q", extra, place + 4)
        place += 4 + length
    return ()


def _record(file: BinaryIO, entry: _Entry, limit: int, path: Path) -> Record:
    file.seek(min(entry.header, limit))
    head = file.read(_LOCAL.size)
    if len(head) < _LOCAL.size or not head.startswith(b"PK\3\4"):
        raise CorruptCheckpoint(
            f"{path}: the record {entry.name!r} is not where the table of contents says"
        )
    *_, length, extra = _LOCAL.unpack(head)
    if file.read(length) != entry.name.encode():
        raise CorruptCheckpoint(
            f"{path}: the record {entry.name!r} has another name in its own header"
        )
    begin = entry.header + _LOCAL.size + length + extra
    if begin + entry.size > limit:
        raise CorruptCheckpoint(
            f"{path}: the record {entry.name!r} ends behind the end of the file"
        )
    return Record(begin, entry.size, entry.crc)


def _check_overlap(records: dict[str, Record], entries: list[_Entry], path: Path) -> None:
    place = 0
    for entry in sorted(entries, key=lambda e: e.header):
        if entry.header < place:
            raise UnsafeCheckpoint(
                f"{path}: the record {entry.name!r} shares bytes with the record before it"
            )
        place = records[entry.name].begin + entry.size
