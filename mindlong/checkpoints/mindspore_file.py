"""MindSpore's own .ckpt, read without MindSpore: a protobuf message of (tag, tensor), large tensors
in several pieces.

    Checkpoint { repeated Value value = 1 }   Value { string tag = 1; TensorProto tensor = 2 }
    TensorProto { repeated int64 dims = 1; string tensor_type = 2; bytes tensor_content = 3 }

A file saved with `crc_check=True` ends in the text crc_num and a CRC-32 of all before it, which is
compared. Without it a changed byte cannot be noticed.
"""

from __future__ import annotations

import functools
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import BinaryIO

import numpy as np

from mindlong.checkpoints import mindone_names
from mindlong.checkpoints.dtypes import FORMATS, MAX_DIMS, problem_of_shape, unread
from mindlong.checkpoints.faults import CorruptCheckpoint, ForeignFile, reading
from mindlong.checkpoints.lazy import Lazy
from mindlong.checkpoints.safetensors_file import fill
from mindlong.checkpoints.weight_file import WeightFile

MAX_TEXT, TEXT = 4096, "str"
MAX_NUMBERS = 4_000_000  # in the headers of all tensors; 1500 tensors need 30 000
CRC_MARK = b"crc_num"
CRC_TAIL = len(CRC_MARK) + 10  # then the number, big-endian
PIECE = 1 << 20
_FOREIGN_WORDS = (  # MindSpore's words for numbers that are not read here
    "complex64 complex128 uint16 uint32 uint64 int4 qint4x2 float8e4m3fn float8e5m2 hifloat8"
)
_FOREIGN = tuple(_FOREIGN_WORDS.split())


@dataclass
class _Value:
    tag: str = ""
    dims: list[int] = field(default_factory=list)
    kind: str = ""
    parts: list[tuple[int, int]] = field(default_factory=list)  # first byte, bytes


def read_table(path: Path) -> tuple[dict[str, Lazy], dict[str, str]]:
    """Name -> array of a MindSpore checkpoint, and name -> text of what stands beside them.

    Raises:
        CorruptCheckpoint: it is cut short or damaged. ForeignFile: formats that are not read.
    """
    with path.open("rb") as file:
        size = _checked_size(file, path)
        try:
            values = list(_joined(_Wire(file).values(size)))
            texts = {v.tag: _text(file, v) for v in values if v.kind == TEXT}
        except (_Bad, UnicodeDecodeError) as error:
            raise CorruptCheckpoint(
                f"{path}: a MindSpore .ckpt cut short or damaged ({error})"
            ) from error
    found = [(value.tag, value.kind.lower()) for value in values if value.kind.lower() in _FOREIGN]
    if found:
        raise ForeignFile(f"{path}: {unread(found)}")
    rows = {value.tag: _row(path, value) for value in values if value.kind != TEXT}
    if len(rows) + len(texts) != len(values):
        raise CorruptCheckpoint(f"{path}: two of its parameters have one name")
    return rows, texts


def _text(file: BinaryIO, value: _Value) -> str:
    """A text beside the parameters (`append_dict` of save_checkpoint), four bytes a letter."""
    length = sum(count for _, count in value.parts)
    if length > MAX_TEXT * 16:
        raise _Bad(f"the text {value.tag!r} of {length} bytes")
    pieces = []
    for begin, count in value.parts:
        file.seek(begin)
        pieces.append(file.read(count))
    return b"".join(pieces).decode("utf-32-le")


class _Bad(Exception):
    """What is wrong, for the caller to put the file's name before."""


def _row(path: Path, value: _Value) -> Lazy:
    form = FORMATS.get(value.kind.lower())
    if form is None:
        raise CorruptCheckpoint(
            f"{path}: {value.tag!r} has the unknown number format {value.kind[:40]!r}"
        )
    shape, held = tuple(value.dims), sum(count for _, count in value.parts)
    problem = problem_of_shape(shape, form)
    if problem:
        raise CorruptCheckpoint(f"{path}: {value.tag!r} has the {problem}")
    if prod(shape) * form.size != held:
        raise CorruptCheckpoint(
            f"{path}: {value.tag!r} of shape {list(shape)} {form.name} has {held} bytes, "
            f"needs {prod(shape) * form.size}"
        )
    return Lazy(shape, form.name, functools.partial(_read, path, value, shape))


def _read(path: Path, value: _Value, shape: tuple[int, ...]) -> np.ndarray:
    form = FORMATS[value.kind.lower()]
    done = 0
    with reading(path), path.open("rb", buffering=0) as file:
        raw = np.empty(prod(shape) * form.size, np.uint8)
        for begin, count in value.parts:
            fill(file, begin, raw[done : done + count], f"{path}: {value.tag!r}")
            done += count
    return raw.view(form.raw).reshape(shape)


def _joined(values: Iterator[_Value]) -> Iterator[_Value]:
    """Values of one tag behind one another are the pieces of one tensor."""
    last: _Value | None = None
    for value in values:
        if last is not None and value.tag == last.tag and value.dims == last.dims:
            last.parts += value.parts
            continue
        if last is not None:
            yield last
        last = value
    if last is not None:
        yield last


class _Wire:
    """Protobuf fields of a file, by place; contents are not read."""

    def __init__(self, file: BinaryIO) -> None:
        self.file, self.left = file, MAX_NUMBERS

    def values(self, size: int) -> Iterator[_Value]:
        for number, begin, end in self.fields(0, size):
            if number != 1 or begin is None:
                raise _Bad(f"field {number} before byte {end}")
            yield self.value(begin, end)

    def value(self, begin: int, end: int) -> _Value:
        value = _Value()
        for number, first, last in self.fields(begin, end):
            if number == 1:
                value.tag = self.text(first, last)
            elif number == 2 and first is not None:
                self.tensor(first, last, value)
            else:
                raise _Bad(f"{value.tag!r} is not a plain tensor")
        return value

    def tensor(self, begin: int, end: int, value: _Value) -> None:
        for number, first, last in self.fields(begin, end):
            if number == 1:
                value.dims += [last] if first is None else self.packed(first, last)
            elif number == 2:
                value.kind = self.text(first, last)
            elif number == 3 and first is not None:
                value.parts.append((first, last - first))
            else:
                raise _Bad(f"field {number} in a tensor")
            if len(value.dims) > MAX_DIMS:
                raise _Bad("a tensor of too many dimensions")

    def packed(self, begin: int, end: int) -> list[int]:
        found = []
        while begin < end:
            number, begin = self.number(begin, end)
            found.append(number)
        return found

    def text(self, begin: int | None, end: int) -> str:
        if begin is None or end - begin > MAX_TEXT:
            raise _Bad("a name that is no text")
        self.file.seek(begin)
        return self.file.read(end - begin).decode("utf-8")

    def fields(self, begin: int, end: int) -> Iterator[tuple[int, int | None, int]]:
        """(number, first byte, last byte + 1) of each field; whole numbers come as (number, None,
        value).
        """
        while begin < end:
            key, begin = self.number(begin, end)
            length, begin = self.number(begin, end)
            if key & 7 == 0:
                yield key >> 3, None, length
            elif key & 7 == 2 and begin + length <= end:
                yield key >> 3, begin, begin + length
                begin += length
            else:
                raise _Bad(f"a field at byte {begin} of another kind, or longer than its message")

    def number(self, begin: int, end: int) -> tuple[int, int]:
        """A number of one to ten bytes, and the place behind it."""
        self.left -= 1
        if self.left < 0:
            raise _Bad(f"more than {MAX_NUMBERS} fields")
        self.file.seek(begin)
        value = 0
        for place, byte in enumerate(self.file.read(min(10, end - begin))):
            value |= (byte & 0x7F) << (7 * place)
            if byte < 0x80:
                return value, begin + place + 1
        raise _Bad(f"a number at byte {begin} that does not end")


def _checked_size(file: BinaryIO, path: Path) -> int:
    """The size without the checksum at the end, which is compared where it stands."""
    size = path.stat().st_size
    file.seek(max(size - CRC_TAIL, 0))
    tail = file.read()
    if not tail.startswith(CRC_MARK):
        return size
    left, crc = size - CRC_TAIL, 0
    file.seek(0)
    while left:
        piece = file.read(min(PIECE, left))
        crc, left = zlib.crc32(piece, crc), left - len(piece)
    if int.from_bytes(tail[len(CRC_MARK) :], "big") != crc:
        raise CorruptCheckpoint(
            f"{path}: its bytes were changed after the file was written (CRC-32)"
        )
    return size - CRC_TAIL


def opened(path: Path, inert: Sequence[str] = ()) -> WeightFile:
    """The file behind the interface of all formats; `inert` is of others."""
    rows, texts = read_table(path)
    if not mindone_names.is_mindone(rows):
        return WeightFile(path, "MindSpore", rows, texts)
    note = f"{path.name} has mindone's names; its tensors are read under those of CompVis' files"
    return WeightFile(path, "MindSpore", mindone_names.renamed(rows), texts, (note,))
