"""A SentencePiece model file (spiece.model): its pieces with their scores, and the table by which
it normalises text. Of the protobuf message only these fields are looked at; nothing is run.

message ModelProto { repeated SentencePiece pieces = 1; TrainerSpec trainer_spec = 2; NormalizerSpec
normalizer_spec = 3; }
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from mindlong.utils.errors import InputFileError

MOST = 64 << 20  # bytes of a file
VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
UNIGRAM = 1  # TrainerSpec.model_type


@dataclass(frozen=True)
class Pieces:
    """What a model file holds.

    Attributes:
        pieces: (text, score) by id.
        unknown: the id of the piece for what is not known.
        characters: the precompiled table of the normaliser; empty: there is none.
    """

    pieces: tuple[tuple[str, float], ...]
    unknown: int
    characters: bytes


def read_pieces(file: Path) -> Pieces:
    """The content of a spiece.model. Raises InputFileError where it is none, or not of the kind
    unigram.
    """
    if file.stat().st_size > MOST:
        raise InputFileError(f"{file}: too large for a SentencePiece model")
    try:
        return _read(file.read_bytes(), str(file))
    except (IndexError, ValueError, struct.error) as error:
        raise InputFileError(f"{file}: not a SentencePiece model ({error})") from None


def _read(data: bytes, where: str) -> Pieces:
    pieces: list[tuple[str, float]] = []
    unknown, characters = -1, b""
    for number, value in _fields(data):
        if not isinstance(value, bytes):
            continue
        if number == 1:
            text, score, kind = _piece(value)
            unknown = len(pieces) if kind == 2 else unknown
            pieces.append((text, score))
        elif number == 2 and _number(dict(_fields(value)), 3, UNIGRAM) != UNIGRAM:
            raise InputFileError(f"{where}: a SentencePiece model of another kind than unigram")
        elif number == 3:
            characters = _bytes(dict(_fields(value)), 2)
    if not pieces or unknown < 0:
        raise InputFileError(f"{where}: a SentencePiece model without pieces, or without <unk>")
    return Pieces(tuple(pieces), unknown, characters)


def _piece(data: bytes) -> tuple[str, float, int]:
    """Text, score and kind (1 normal, 2 unknown, 3 control) of a piece."""
    found = dict(_fields(data))
    score = struct.unpack("<f", _bytes(found, 2))[0] if 2 in found else 0.0
    return _bytes(found, 1).decode("utf-8"), score, _number(found, 3, 1)


def _bytes(found: Mapping[int, bytes | int], field: int) -> bytes:
    value = found.get(field, b"")
    if isinstance(value, int):
        raise ValueError(f"field {field} is a number")
    return value


def _number(found: Mapping[int, bytes | int], field: int, usual: int) -> int:
    value = found.get(field, usual)
    if isinstance(value, bytes):
        raise ValueError(f"field {field} is no number")
    return value


def _fields(data: bytes) -> Iterator[tuple[int, bytes | int]]:
    """(number, value) of each field of a protobuf message; a later one rules where it is one."""
    place = 0
    while place < len(data):
        key, place = _varint(data, place)
        kind = key & 7
        if kind == VARINT:
            value, place = _varint(data, place)
            yield key >> 3, value
            continue
        size, place = _varint(data, place) if kind == BYTES else (_fixed(kind), place)
        content, place = data[place : place + size], place + size
        if place > len(data):
            raise ValueError("it ends in the middle of a field")
        yield key >> 3, content


def _fixed(kind: int) -> int:
    sizes = {FIXED64: 8, FIXED32: 4}
    if kind not in sizes:
        raise ValueError(f"a field of the unknown kind {kind}")
    return sizes[kind]


def _varint(data: bytes, place: int) -> tuple[int, int]:
    value, shift = 0, 0
    while True:
        byte = data[place]
        value, shift, place = value | (byte & 127) << shift, shift + 7, place + 1
        if byte < 128:
            return value, place
        if shift > 63:
            raise ValueError("a number of more than 64 bits")
