"""SHA-256 of files: each file read once in a process, with a bar where it takes a while."""

from __future__ import annotations

import hashlib
import os
import time
from pathlib import Path
from typing import NamedTuple

from mindlong.utils.errors import InputFileError
from mindlong.utils.progress import bar
from mindlong.utils.shown import shown

PIECE = 1 << 24  # bytes hashed at once
SLOW = 1 << 30  # bytes from which a bar is shown
COARSE = 0.05  # seconds: a file changed so recently may change again without a new time


class Stamp(NamedTuple):
    """What tells, without reading it, that a file is the one that was hashed. Times are in
    nanoseconds; the second is that of the last change of any kind, which no program can set back.
    """

    bytes: int
    modified: int
    changed: int
    inode: int


_known: dict[Path, tuple[Stamp, str]] = {}


def stamp(path: Path) -> Stamp:
    """The stamp of a file. Raises InputFileError where there is none."""
    try:
        found = path.stat()
    except OSError as error:
        raise InputFileError(f"{path} cannot be read ({error.strerror})") from None
    return Stamp(found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino)


def is_settled(found: Stamp, seconds: float) -> bool:
    """Whether the file's last change lies so many seconds back."""
    return time.time_ns() - max(found.modified, found.changed) > seconds * 1e9


def known(path: Path) -> str | None:
    """The SHA-256 of a file if this process has read it and it did not change since."""
    held = _known.get(Path(os.path.abspath(path)))
    return held[1] if held and held[0] == stamp(path) else None


def remember(path: Path, found: Stamp, digest: str) -> None:
    """Keep the digest of a file for the rest of the process."""
    if is_settled(found, COARSE):
        _known[Path(os.path.abspath(path))] = found, digest


def file_sha256(path: Path) -> str:
    """The SHA-256 of a file as lower-case hex; read piece by piece, once in a process.

    Raises:
        InputFileError: it cannot be read.
    """
    before = stamp(path)
    found = known(path)
    if found is None:
        found = _read(path, before.bytes)
        if stamp(path) == before:
            remember(path, before, found)
    return found


def _read(path: Path, size: int) -> str:
    digest = hashlib.sha256()
    try:
        with (
            path.open("rb", buffering=0) as file,
            bar(
                size,
                f"checking {shown(path.name, most=40)}",
                rank=int(size < SLOW),
                unit="B",
            ) as progress,
        ):
            while piece := file.read(PIECE):
                digest.update(piece)
                progress.update(len(piece))
    except OSError as error:
        raise InputFileError(f"{path} cannot be read ({error.strerror})") from None
    return digest.hexdigest()
