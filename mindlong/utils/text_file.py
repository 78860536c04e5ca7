"""Small text files of strangers: a plain file of a bounded size, or one sentence."""

from __future__ import annotations

import stat
from pathlib import Path

from mindlong.utils.errors import InputFileError
from mindlong.utils.shown import shown

MAX_BYTES = 64 << 20
KINDS = {  # of what is no plain file, and no folder, which has errors of its own
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
}


def read_text(path: str | Path, encoding: str = "utf-8", most: int = MAX_BYTES) -> str:
    """The text of a file that has at most so many bytes.

    Raises:
        InputFileError: what would be read without an end, or waited for: a device, a pipe, a file
            that is larger. OSError, UnicodeDecodeError: as `Path.read_text`.
    """
    path = Path(path)
    kind = KINDS.get(stat.S_IFMT(path.stat().st_mode))
    if kind:
        raise InputFileError(f"{shown(path)} is {kind}, not a file")
    with path.open("rb") as file:
        data = file.read(most + 1)
    if len(data) > most:
        raise InputFileError(f"{shown(path)} has more than {most >> 20} MiB; it should be small")
    return data.decode(encoding)
