"""A process that decodes: reads sample numbers from its standard input, writes samples to its
standard output, and now and then the name of the file it is reading.

It is a plain child with two pipes. When its parent goes, however it goes, the input ends and so
does the process: nothing is left behind. Signals of the terminal are left to the parent.
"""

from __future__ import annotations

import logging
import os
import pickle
import queue
import signal
import struct
import sys
import threading
import time
import traceback
from typing import IO, Any

from mindlong.data.source import Numbered
from mindlong.utils.errors import UserError
from mindlong.utils.log import get_logger

_HEAD = struct.Struct("<Q")
EVERY = 1.0  # seconds between two signs of life


def send(stream: IO[bytes], thing: object) -> None:
    """Write one object, its length before it."""
    data = pickle.dumps(thing, protocol=pickle.HIGHEST_PROTOCOL)
    stream.write(_HEAD.pack(len(data)) + data)
    stream.flush()


def receive(stream: IO[bytes]) -> Any:
    """Read one object; raises EOFError where the stream ends."""
    head = stream.read(_HEAD.size)
    if len(head) < _HEAD.size:
        raise EOFError
    size = _HEAD.unpack(head)[0]
    data = stream.read(size)
    if len(data) < size:
        raise EOFError
    return pickle.loads(data)  # written by our own child or parent


class Pulse:
    """Tells the parent which file is being read: at once for a new one, else every second."""

    def __init__(self, stream: IO[bytes]) -> None:
        self.stream, self.path, self.time = stream, "", 0.0

    def __call__(self, path: str) -> None:
        now = time.monotonic()
        if path != self.path or now - self.time > EVERY:
            self.path, self.time = path, now
            send(self.stream, path)


def main() -> None:
    """Serve until the input ends."""
    for name in (signal.SIGINT, signal.SIGTERM):
        signal.signal(name, signal.SIG_IGN)
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever a library prints must not end up among the answers
    asked: queue.SimpleQueue[int] = queue.SimpleQueue()
    get_logger().addHandler(logging.NullHandler())  # the parent names bad files, once
    source = receive(sys.stdin.buffer)
    if hasattr(source, "progress"):
        source.progress = Pulse(answers)
    threading.Thread(target=_listen, args=(asked,), daemon=True).start()
    while True:
        index = asked.get()
        try:
            send(answers, _answer(source, index))
        except BrokenPipeError:
            os._exit(0)


def _listen(asked: queue.SimpleQueue[int]) -> None:
    """Pass the numbers on; end the process at once when the parent is gone, even in the middle of a
    file.
    """
    while True:
        try:
            asked.put(receive(sys.stdin.buffer))
        except EOFError:
            os._exit(0)


def _answer(
    source: Numbered[object], index: int
) -> tuple[object, Exception | None, dict[str, str], dict[str, list[str]]]:
    """(sample or None, error or None, the bad files and the notes known to this process)."""
    sample: object = None
    error: Exception | None = None
    try:
        sample = source.sample(index)
    except UserError as caught:
        error = caught
    except Exception:
        error = RuntimeError(traceback.format_exc())
    return sample, error, dict(getattr(source, "bad", {})), _new_notes(source)


def _new_notes(source: object) -> dict[str, list[str]]:
    """The notes on clips since the last answer."""
    noted = getattr(source, "noted", {})
    new = dict(noted)
    noted.clear()
    return new


if __name__ == "__main__":
    main()
