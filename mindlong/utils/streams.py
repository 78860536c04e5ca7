"""Standard output and error that nobody may be reading any more (`| head`, a closed terminal).

A command that only prints ends there, as commands do. One that has begun to make something, and
says all in a log file too, goes on.
"""

from __future__ import annotations

import contextlib
import io
import os
import select
import sys
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

_kept: dict[str, str] = {}  # "where": what goes on, and where its messages are to be found


def make_lasting() -> None:
    """Give the process streams that `outlive` can keep, and that write any text: what their
    encoding has not is escaped.
    """
    sys.stdout = _remade(sys.stdout)
    sys.stderr = _remade(sys.stderr)


def outlive(log: str) -> None:
    """From now on a stream that cannot be written is no reason to stop; all is said in `log`."""
    _kept["where"] = log


def is_broken(stream: TextIO) -> bool:
    """Whether the other end of a stream's pipe is closed."""
    try:
        number = stream.fileno()
    except (OSError, ValueError, AttributeError):
        return False
    poll = select.poll()
    poll.register(number, select.POLLOUT)
    return any(event & (select.POLLERR | select.POLLHUP) for _, event in poll.poll(0))


def give_up(stream: TextIO | io.FileIO) -> None:
    """Let what is still to be written to a stream go nowhere."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


class _Lasting(io.FileIO):
    """A descriptor that takes everything once it is lost, if the command goes on without it."""

    def write(self, data: ReadableBuffer, /) -> int:
        try:
            return super().write(data)
        except OSError as error:
            if "where" not in _kept:
                raise
            give_up(self)
            other = 2 if self.fileno() == 1 else 1
            said = f"standard {'output' if other == 2 else 'error'} cannot be written any more"
            with contextlib.suppress(OSError):
                line = f"{said} ({error.strerror}); going on, see {_kept['where']}\n"
                os.write(other, line.encode(errors="backslashreplace"))
            return memoryview(data).nbytes


def _remade(stream: TextIO) -> TextIO:
    try:
        number, encoding = stream.fileno(), stream.encoding
    except (OSError, ValueError, AttributeError):  # not a real one, or none at all
        return stream
    if not isinstance(stream, io.TextIOWrapper):
        return stream
    stream.flush()
    raw = _Lasting(number, "w", closefd=False)
    # what the process was started with (PYTHONUNBUFFERED, a terminal) stays
    through, lines = stream.write_through, stream.line_buffering
    return io.TextIOWrapper(
        io.BufferedWriter(raw),
        encoding,
        "backslashreplace",
        line_buffering=lines,
        write_through=through,
    )
