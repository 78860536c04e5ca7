"""Files that are either whole or absent: write aside, sync, rename."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

from mindlong.utils import interrupts, system

ASIDE = re.compile(r"\..*\.\d+\.tmp(\..*)?")  # what `replacing` writes to


def sync_folder(folder: Path) -> None:
    """Make a rename inside `folder` survive a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sync_file(path: Path) -> None:
    """Flush the bytes of `path` to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def readable_by_others(path: Path) -> None:
    """Give `path` the mode a plain open() would have given it (some writers create files as
    0600).
    """
    mask = os.umask(0)
    os.umask(mask)
    os.chmod(path, 0o666 & ~mask)


@contextlib.contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Yield a path beside `path` to write to; on success it takes the place of `path`, on an error
    it is removed.

    Raises:
        SystemFault: the system refused to write it (a full disk, no permission, ...).
    """
    path = Path(path)
    aside = _beside(path)
    stay = interrupts.at_leaving(lambda: aside.unlink(missing_ok=True))
    with system.explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield aside
            sync_file(aside)
            readable_by_others(aside)
            os.replace(aside, path)
            sync_folder(path.parent)
        except OSError as error:
            if error.filename is not None and os.fspath(error.filename) == os.fspath(aside):
                error.filename, error.filename2 = str(path), None  # what the user knows
            raise
        finally:
            with contextlib.suppress(OSError):
                aside.unlink(missing_ok=True)
            stay()


def _beside(path: Path) -> Path:
    behind = f".{os.getpid()}.tmp{path.suffix}"
    name = f".{path.stem}{behind}"
    if len(os.fsencode(name)) > system.NAME_BYTES:
        name = f".{hashlib.sha256(os.fsencode(path.stem)).hexdigest()[:32]}{behind}"
    return path.with_name(name)


def remove_asides(folder: Path) -> None:
    """Remove what writers that were killed left beside their files. Only where no other process
    writes to `folder`.
    """
    for path in folder.rglob(".*.tmp*"):
        if ASIDE.fullmatch(path.name) and path.is_file():
            path.unlink(missing_ok=True)


def remove_written(folder: Path, is_ours: Callable[[str], bool]) -> bool:
    """Remove the files of `folder` whose names are ours, and then the folder, if that leaves it
    empty. What is not ours stays, and so do folders inside and what links lead to.

    Returns whether the folder is gone.
    """
    if folder.is_symlink() or not folder.is_dir():
        return not folder.exists()
    for path in folder.iterdir():
        if is_ours(path.name) and (path.is_symlink() or path.is_file()):
            path.unlink(missing_ok=True)
    try:
        folder.rmdir()
    except OSError:
        return False
    return True


def write_text(path: str | Path, text: str) -> None:
    """Write `text` as UTF-8, whole or not at all."""
    with replacing(path) as aside:
        aside.write_text(text, encoding="utf-8")


def write_bytes(path: str | Path, data: bytes) -> None:
    """Write `data`, whole or not at all."""
    with replacing(path) as aside:
        aside.write_bytes(data)
