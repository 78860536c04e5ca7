"""Animated WebP: ffmpeg encodes the frames as they come, and the text that a file keeps is put into
it as XMP when it is whole.

Layout after Google's WebP container specification: a RIFF of chunks, the first of which (VP8X) says
which others there are.
"""

from __future__ import annotations

import struct
from pathlib import Path

from mindlong.media.encode import FfmpegWriter
from mindlong.media.recipe import xmp_packet

XMP = 0x04  # the flag of VP8X


class WebpWriter(FfmpegWriter):
    """As `FfmpegWriter`, with the text kept as XMP. A single frame becomes a still image, and equal
    frames one that lasts longer.
    """

    def __init__(self, path: Path, size: tuple[int, int], fps: float, comment: str = "") -> None:
        super().__init__(path, size, fps)
        self.path, self.comment, self.size = path, comment, size

    def close(self) -> None:
        """End the file."""
        super().close()
        if self.comment:
            embed(self.path, self.comment, self.size)


def embed(path: Path, text: str, size: tuple[int, int]) -> None:
    """Put `text` into a WebP file of that height and width, at its end."""
    with path.open("r+b") as file:
        if file.read(16)[12:] != b"VP8X":  # a still of the simple form
            file.seek(12)
            rest = file.read()
            file.seek(12)
            sides = b"".join((side - 1).to_bytes(3, "little") for side in reversed(size))
            file.write(_chunk(b"VP8X", b"\0\0\0\0" + sides) + rest)
        file.seek(20)
        flags = file.read(1)[0] | XMP
        file.seek(20)
        file.write(bytes([flags]))
        file.seek(0, 2)
        file.write(_chunk(b"XMP ", xmp_packet(text)))
        whole = file.tell()
        file.seek(4)
        file.write(struct.pack("<I", whole - 8))


def _chunk(name: bytes, data: bytes) -> bytes:
    return name + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2)
