"""Frames out of ffmpeg: a process of its own decodes, so that a decoder that crashes, hangs or asks
for too much costs one file and nothing else.

It turns the frames as the file says, makes pixels square, and gives each frame as a PAM image,
which names its size and whether it has an alpha channel. When each frame is shown, and what is
odd about the file, are read from its log.
"""

from __future__ import annotations

import contextlib
import os
import re
import select
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from mindlong.media import ffmpeg
from mindlong.media.ffmpeg_log import Log
from mindlong.media.limits import Limits, check_side
from mindlong.utils.errors import InputFileError
from mindlong.utils.needed import needed
from mindlong.utils.shown import shown

SQUARE = (  # pixels as wide as high; a proportion beyond 8 is not believed
    "scale=w='if(between(sar,1.0001,8),iw*sar,iw)':h='if(between(sar,0.125,0.9999),ih/sar,ih)',setsar=1"
)
FILTER = f"showinfo=checksum=0,{SQUARE},format=pix_fmts=rgb24|rgba"
SHORTEST_HEAD = len(b"P7\nWIDTH 1\nHEIGHT 1\nDEPTH 3\nMAXVAL 255\nTUPLTYPE RGB\nENDHDR\n")
HEAD = re.compile(rb"P7\nWIDTH (\d+)\nHEIGHT (\d+)\nDEPTH ([34])\nMAXVAL 255\n.*ENDHDR\n", re.S)
LARGER_PIPE = 1 << 20
WAIT = 5.0  # seconds for the line on a frame that is there already
F_SETPIPE_SZ = 1031  # Linux; Python 3.10 does not name it on every system


class Decoding:
    """One file being decoded: `with Decoding(path, limits) as d: for frame in d.frames(): ...`.

    Args:
        decoder: of ffmpeg, to take in place of its usual one for the codec.

    Attributes:
        log: what has been said of the file and of the frames read.
    """

    def __init__(self, path: Path, limits: Limits, decoder: str = "") -> None:
        self.path, self.limits, self.log = path, limits, Log()
        command = [
            *(ffmpeg.executable(), "-nostdin", "-nostats", "-hide_banner"),
            *("-loglevel", "level+info"),
            *("-max_pixels", str(limits.side**2), "-threads", "1"),
            *(("-c:v", decoder) if decoder else ()),
            *ffmpeg.source(path),
            *("-map", "0:V:0", "-vf", FILTER, "-fps_mode", "passthrough"),
            *("-c:v", "pam", "-f", "image2pipe", "pipe:1"),
        ]
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C at the terminal must not end a file early
        )
        self._stdout = needed(self._process.stdout, "the pipe of ffmpeg")
        self._stderr = needed(self._process.stderr, "the pipe of ffmpeg")
        self._out = self._stdout.fileno()
        _enlarge(self._out)
        self._ready = select.poll()
        self._ready.register(self._out, select.POLLIN | select.POLLHUP)
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    def __enter__(self) -> Decoding:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def frames(self) -> Iterator[np.ndarray]:
        """Each frame, uint8 (H, W, 3), or (H, W, 4) where the file has an alpha channel.

        Raises:
            InputFileError: a frame larger than the limits or of another size than the first, or
                none within `limits.stall` seconds.
        """
        count = 0
        while (size := self._head()) is not None:
            height, width, depth = size
            check_side(self.path, (height, width), self.limits)
            data = self._exactly(height * width * depth)
            if data is None:
                return
            count += 1
            self._await_time(count)
            self._check_form(count)
            yield np.frombuffer(data, np.uint8).reshape(height, width, depth)

    def _check_form(self, count: int) -> None:
        """Raise InputFileError where the frame just read is of another size or shape than the
        first: ffmpeg has cut or stretched it.
        """
        changed, size = self.log.changed, self.log.size
        if changed and size and changed[0] < count:
            what = "the shape of its pixels" if changed[1] == size else "its size"
            raise InputFileError(
                f"{shown(self.path)} changes {what} from {size[0]}x{size[1]} to "
                f"{changed[1][0]}x{changed[1][1]} at frame {changed[0]}"
            )

    def close(self) -> None:
        """End the process, if it has not ended, and wait for all that it said."""
        self._process.kill()
        self._process.wait()
        self._listener.join()
        self._stdout.close()
        self._stderr.close()

    def ending(self) -> int:
        """How it ended, waited for: 0, a code, or minus a signal."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(5)
        code = self._process.poll()
        self.close()
        return -9 if code is None else code

    def _head(self) -> tuple[int, int, int] | None:
        head = self._exactly(SHORTEST_HEAD)
        while head is not None and not head.endswith(b"ENDHDR\n"):
            more = self._exactly(1) if len(head) < 200 else None
            head = None if more is None else head + more
        found = HEAD.fullmatch(bytes(head)) if head is not None else None
        return (int(found[2]), int(found[1]), int(found[3])) if found else None

    def _exactly(self, size: int) -> bytearray | None:
        """`size` bytes; None where the stream ends before."""
        data = bytearray(size)
        view, got = memoryview(data), 0
        end = time.monotonic() + self.limits.stall
        while got < size:
            if not self._ready.poll(1000 * max(end - time.monotonic(), 0)):
                raise InputFileError(
                    f"{shown(self.path)} cannot be decoded: no frame came within {self.limits.stall:g} s"
                )
            count = os.readv(self._out, [view[got:]])
            if not count:
                return None
            got += count
        return data

    def _await_time(self, count: int) -> None:
        """The time of a frame was written before the frame; it may not have been read yet."""
        end = time.monotonic() + WAIT
        while len(self.log.stamps.times) < count and self._listener.is_alive():
            if time.monotonic() > end:
                self.log.stamps.times.append(None)
            time.sleep(0.0005)

    def _listen(self) -> None:
        for line in iter(lambda: self._stderr.readline(LARGER_PIPE), b""):
            with contextlib.suppress(ValueError):  # a number that is none
                self.log.take(line.decode(errors="replace").rstrip())


def _enlarge(pipe: int) -> None:
    """Fewer turns between the two processes, where the system allows it."""
    import fcntl

    with contextlib.suppress(OSError):
        fcntl.fcntl(pipe, F_SETPIPE_SZ, LARGER_PIPE)
