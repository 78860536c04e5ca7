"""What the pickles of a file ask for beyond tensors, as lines for a person. Nothing is run."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator
from pathlib import Path

from mindlong.checkpoints.kinds import SAFETENSORS, ZIP, kind_by_head
from mindlong.checkpoints.pickle_names import is_harmless, known, runs_programs
from mindlong.checkpoints.pickle_scan import MAX_BYTES, Scan, scan, split
from mindlong.checkpoints.zip_layout import read_layout, read_record
from mindlong.utils.errors import InputFileError
from mindlong.utils.needed import needed

SHOWN = 12
TAR_MEMBERS = ("sys_info", "pickle", "storages", "tensors")


def asked(path: Path) -> Iterator[str]:
    """Lines on every pickle in a file, of whatever form it is."""
    for where, program in _programs(path):
        yield from _verdict(where, scan(program))


def _verdict(where: str, found: Scan) -> Iterator[str]:
    beside = [name for name in found.names if is_harmless(name)]
    strange = [name for name in found.names if not is_harmless(name) and known(name) is None]
    yield f"pickle     {where}: {found.instructions:,} instructions, asks for {len(found.names)} names"
    if beside:
        more = f" and {len(beside) - SHOWN} more" if len(beside) > SHOWN else ""
        yield f"beside     stepped over unbuilt: {', '.join(beside[:SHOWN])}{more}"
    for name in strange[:SHOWN]:
        yield f"SUSPICIOUS {name[:200]}: {_why(name)}"
    if len(strange) > SHOWN:
        yield f"SUSPICIOUS ... and {len(strange) - SHOWN} more names"
    if found.foreign:
        yield f"SUSPICIOUS instructions that weights do not need: {', '.join(found.foreign[:SHOWN])}"
    if found.problem:
        yield f"SUSPICIOUS {found.problem}"


def _why(name: str) -> str:
    if runs_programs(name):
        return "can run programs; PyTorch's own loader would call it unless weights_only=True"
    return "not a tensor; --inert steps over it unbuilt, if the file is otherwise what you expect"


def _programs(path: Path) -> list[tuple[str, bytes]]:
    """The pickles of a file, of whatever form it is."""
    if not path.is_file():
        return []
    with path.open("rb") as file:
        head = file.read(4096)
    kind = kind_by_head(head)
    if kind == ZIP:
        return _in_zip(path)
    if head[257:262] == b"ustar":
        return _in_tar(path)
    if kind != SAFETENSORS and head[:1] in (b"\x80", b"(", b"c", b"]", b"}"):
        with path.open("rb") as file:
            programs = split(file.read(MAX_BYTES))
        return [(f"number {i + 1} in the file", program) for i, program in enumerate(programs)]
    return []


def _in_zip(path: Path) -> list[tuple[str, bytes]]:
    try:
        return [
            (name, read_record(path, name, record, MAX_BYTES))
            for name, record in read_layout(path).items()
            if name.endswith((".pkl", ".pickle"))
        ]
    except InputFileError:
        return []


def _in_tar(path: Path) -> list[tuple[str, bytes]]:
    try:
        with path.open("rb") as file:
            data = io.BytesIO(file.read(MAX_BYTES))
        with tarfile.open(fileobj=data, mode="r:") as archive:
            return [
                (member.name, needed(archive.extractfile(member), member.name).read())
                for member in archive
                if member.isfile() and member.name in TAR_MEMBERS
            ]
    except (tarfile.TarError, OSError, ValueError, EOFError):
        return []
