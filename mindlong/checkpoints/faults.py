"""What can be wrong with a weight file, as types. All are bad input files (exit code 3)."""

from __future__ import annotations

from mindlong.utils.errors import InputFileError


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
