"""Arrays that a run left on the disk, read so that whatever has happened to the file is one kind of
error.
"""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

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
            version = np.lib.format.read_magic(file)
            reader = {(1, 0): np.lib.format.read_array_header_1_0}
            shape, _, dtype = reader.get(version, np.lib.format.read_array_header_2_0)(file)
            if dtype.hasobject or file.tell() + dtype.itemsize * int(np.prod(shape)) != size:
                raise ValueError("its header does not go with its size")
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
        with np.load(path, allow_pickle=False) as held:
            wanted = [*names, *(n for n in optional if n in held)]
            return {name: held[name] for name in wanted}
    except Exception as error:
        raise _fault(path, error) from None


def write_npz(path: Path, **arrays: np.ndarray) -> None:
    """Write an .npz file, whole or not at all. Raises SystemFault."""
    with atomic.replacing(path) as aside:
        np.savez(aside, **arrays)


def write_npy(path: Path, array: np.ndarray) -> None:
    """Write an .npy file, whole or not at all. Raises SystemFault."""
    with atomic.replacing(path) as aside:
        np.save(aside, array)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        raise Damaged(f"{path} is missing") from None
    except OSError as error:
        raise system.fault(error, path) from None


def _fault(path: Path, error: Exception) -> Exception:
    if isinstance(error, OSError) and error.errno is not None:
        return system.fault(error, path)
    if isinstance(error, MemoryError):
        return error
    said = shown(str(error), most=120) or type(error).__name__
    return Damaged(f"{path} is damaged ({said})")
