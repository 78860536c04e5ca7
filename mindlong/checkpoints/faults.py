"""What can be wrong with a weight file, as types. All are bad input files (exit code 3)."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from mindlong.utils.errors import InputFileError
from mindlong.utils.shown import shown


class CorruptCheckpoint(InputFileError):
    """The bytes are not what the format promises: cut short, changed, or contradicting
    themselves.
    """


class UnsafeCheckpoint(InputFileError):
    """The file asks for something other than plain tensors and containers. Nothing it asked for was
    done.
    """


class ForeignFile(InputFileError):
    """The file is something else than a weight file, and the sentence says what."""


@contextlib.contextmanager
def reading(path: Path) -> Iterator[None]:
    """What the system refuses while a file is read, and memory that is not there, as
    InputFileError.
    """
    try:
        yield
    except OSError as error:
        raise InputFileError(
            f"{shown(path, most=300)} cannot be read ({error.strerror or type(error).__name__})"
        ) from None
    except MemoryError:
        raise InputFileError(f"{shown(path)}: there is not enough memory to read it") from None
