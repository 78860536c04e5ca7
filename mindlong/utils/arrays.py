"""Arrays that a run left on the disk, read so that whatever has happened to the file is one kind of
error.
"""

from __future__ import annotations

import errno
import zipfile
from collections.abc import Sequence
from math import prod
from pathlib import Path
from typing import IO, Any

import numpy as np

from mindlong.utils import atomic, system
from mindlong.utils.errors import InputFileError
from mindlong.utils.shown import shown


class Damaged(InputFileError):
    """A file that is there and is not what was written; the message names it."""


def read_npy(path: Path) -> np.ndarray:
    """The array of an .npy file.

    Raises:
        Damaged: it is missing, cut short or changed. SystemFault: the system refuses to read it.
    """
    size = _size(path)
    try:
        with path.open("rb") as file:
            _check_header(file, size)
        return np.load(path, allow_pickle=False)
    except Exception as error:
        raise _fault(path, error) from None


def read_npz(path: Path, names: Sequence[str], optional: Sequence[str] = ()) -> dict[str, Any]:
    """Arrays of an .npz file by their names; optional ones only where they are there.

    Raises:
        Damaged: it is missing, cut short or changed, or lacks a name.
        SystemFault: the system refuses to read it.
    """
    size = _size(path)
    try:
        with zipfile.ZipFile(path) as held:
            large = [i.filename for i in held.infolist() if i.file_size > 1100 * (size + 1024)]
            if large:  # nothing that was compressed grows so much
                raise ValueError(f"{large[0]} would unpack to far more than the file holds")
            for info in held.infolist():
                if info.filename.removesuffix(".npy") in (*names, *optional):
                    with held.open(info) as member:
                        _check_header(member, info.file_size)
        with np.load(path, allow_pickle=False) as held:
            wanted = [*names, *(n for n in optional if n in held)]
            return {name: held[name] for name in wanted}
    except Exception as error:
        raise _fault(path, error) from None


def read_given(path: str | Path, name: str, key: str) -> np.ndarray:
    """An array of an .npz that the user named under `key`; floats of it are finite in float32.

    Raises:
        InputFileError: no file, damaged, no .npz, without that array, or not finite.
        SystemFault: the system refuses to read it.
    """
    place = Path(path)
    if not place.is_file():
        raise InputFileError(f"{key}: no file at {shown(path)}")
    try:
        found = read_npz(place, [], [name]).get(name)
    except Damaged as error:
        reason = str(error).removeprefix(f"{place} is ")
        raise InputFileError(
            f"{key}: {shown(path)} is not an .npz of plain arrays: {reason}"
        ) from None
    if found is None:
        raise InputFileError(f"{key}: {shown(path)} has no array {name}")
    if found.dtype.kind == "f":
        bad = int((~(np.abs(found) <= np.finfo(np.float32).max)).sum())
        if bad:
            raise InputFileError(
                f"{key}: not finite: {bad:,} of {found.size:,} numbers of {name} in {shown(path)}"
            )
    return found


def write_npz(path: Path, **arrays: np.ndarray) -> None:
    """Write an .npz file, whole or not at all. Raises SystemFault."""
    with atomic.replacing(path) as aside:
        np.savez(aside, **arrays)


def write_npy(path: Path, array: np.ndarray) -> None:
    """Write an .npy file, whole or not at all. Raises SystemFault."""
    with atomic.replacing(path) as aside:
        np.save(aside, array)


def _check_header(file: IO[bytes], size: int) -> None:
    """Raise ValueError where an .npy file of so many bytes is not what its header says."""
    version = np.lib.format.read_magic(file)
    reader = {(1, 0): np.lib.format.read_array_header_1_0}
    shape, _, dtype = reader.get(version, np.lib.format.read_array_header_2_0)(file)
    if dtype.hasobject or file.tell() + dtype.itemsize * prod(shape) != size:
        raise ValueError("its header does not go with its size")


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        raise Damaged(f"{path} is missing") from None
    except OSError as error:
        raise system.fault(error, path) from None


def _fault(path: Path, error: Exception) -> Exception:
    sought = errno.EINVAL  # a place before the file's beginning, of a damaged archive
    if isinstance(error, OSError) and error.errno not in (None, sought):
        return system.fault(error, path)
    if isinstance(error, MemoryError):
        return error
    said = shown(str(error), most=120) or type(error).__name__
    return Damaged(f"{path} is damaged ({said})")
