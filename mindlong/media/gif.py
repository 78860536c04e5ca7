"""A GIF writer that keeps every frame and does not flicker.

Pillow merges equal neighbours, so a still of five frames comes back as one; here every frame is its
own image block. Where a clip has at most 256 colours, or each of its frames has, it is kept
exactly. Else one palette serves the whole clip, and what lies between its colours is dithered by a
pattern that stands still, so that nothing moves but what moves; of each frame only the part that
changed is stored. Frames wait in an unnamed file until the last one is there. Layout after the
GIF89a specification, sections 18-27.
"""

from __future__ import annotations

import io
import struct
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, BinaryIO

import numpy as np
from PIL import Image

from mindlong.media.palette import MOST, Palette, exact, of_clip
from mindlong.media.recipe import gif_block
from mindlong.utils.log import get_logger

MIN_DELAY = 2  # hundredths of a second; viewers show shorter delays at 10 frames a second
MB = 1e6
LEAST = 16  # pixels of a side that a limit leaves


@dataclass(frozen=True)
class Way:
    """How a clip is encoded: at most so many colours, sides times `scale`, every n-th frame."""

    colours: int = MOST
    scale: float = 1.0
    every: int = 1

    def __str__(self) -> str:
        said = [f"{self.colours} colours"] if self.colours < MOST else []
        said += [f"{self.scale:.0%} of its size"] if self.scale < 1 else []
        said += [f"every {'2nd' if self.every == 2 else f'{self.every}th'} frame"]
        return ", ".join(said if self.every > 1 else said[:-1])


WAYS = (
    Way(),
    *(Way(colours) for colours in (128, 64, 32)),
    *(Way(32, scale) for scale in (0.8, 0.65, 0.5, 0.4, 0.3)),
    *(Way(32, 0.3, every) for every in (2, 4, 8)),
)


class GifWriter:
    """Appends frames (H, W, 3) uint8 to an open binary file; `close` writes it. Loops for ever.

    Args:
        most_mb: largest file in megabytes, reached by fewer colours, then a smaller size, then
            fewer frames; what was done is logged. 0: any.
        name: of the file, for that line. folder: where frames wait; None: the system's own.
    """

    def __init__(
        self,
        file: BinaryIO | IO[bytes],
        size: tuple[int, int],
        fps: float,
        comment: str = "",
        most_mb: float = 0.0,
        name: str = "the GIF",
        folder: Path | None = None,
    ) -> None:
        self.file, self.size, self.fps = file, size, min(fps, 100 / MIN_DELAY)
        self.comment, self.most, self.name = comment, most_mb * MB, name
        self.count = 0
        self._raw = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 closed in close()

    def append(self, frame_HWC: np.ndarray) -> None:
        """Add one frame, shown for 1/fps seconds (rounded so that the whole keeps time)."""
        self._raw.write(np.ascontiguousarray(frame_HWC).data)
        self.count += 1

    def close(self) -> None:
        """Write the file; it stays open for its owner to close."""
        with self._raw:
            if not self.most:
                self._write(self.file, Way())
                return
            self._within()

    def _within(self) -> None:
        """The first way that fits, or the smallest."""
        for way in WAYS:
            held = io.BytesIO()
            self._write(held, way)
            if held.tell() <= self.most:
                break
        if way != Way():
            reached = "" if held.tell() <= self.most else ", which is still more"
            get_logger().warning(
                "%s is kept near %.3g MB by %s: %.3g MB%s",
                self.name,
                self.most / MB,
                way,
                held.tell() / MB,
                reached,
            )
        self.file.write(held.getvalue())

    def _write(self, file: BinaryIO | IO[bytes], way: Way) -> None:
        frames = lambda: self._frames(way)  # noqa: E731
        palette = of_clip(frames, way.colours)
        height, width = _scaled(self.size, way.scale)
        table = palette.table() if palette else b""
        flags = 0x70 | ((0x80 | palette.bits - 1) if palette else 0)
        file.write(b"GIF89a" + struct.pack("<HHBBB", width, height, flags, 0, 0) + table)
        file.write(b"\x21\xff\x0bNETSCAPE2.0\x03\x01\x00\x00\x00" + gif_block(self.comment))
        before = None
        for number, frame in enumerate(frames()):
            file.write(self._delay(number, way.every))
            if palette is None:
                file.write(_own(frame))
                continue
            index = palette.index(frame)
            file.write(_changed(before, index, palette))
            before = index
        file.write(b"\x3b")

    def _delay(self, number: int, every: int) -> bytes:
        ends = (min(n * every, self.count) for n in (number, number + 1))
        begin, end = (round(100 * n / self.fps) for n in ends)
        return b"\x21\xf9\x04" + struct.pack("<BHB", 0x04, end - begin, 0) + b"\x00"

    def _frames(self, way: Way) -> Iterator[np.ndarray]:
        """The frames that a way keeps, uint8 (h, w, 3)."""
        height, width = self.size
        length, (h, w) = height * width * 3, _scaled(self.size, way.scale)
        for number in range(0, self.count, way.every):
            self._raw.seek(number * length)
            frame = np.frombuffer(self._raw.read(length), np.uint8).reshape(height, width, 3)
            if way.scale < 1:
                small = Image.fromarray(frame).resize((w, h), Image.Resampling.LANCZOS)
                frame = np.asarray(small)
            yield frame


def _scaled(size: tuple[int, int], scale: float) -> tuple[int, int]:
    height, width = (max(round(side * scale), min(side, LEAST)) for side in size)
    return height, width


def _changed(before: np.ndarray | None, index: np.ndarray, palette: Palette) -> bytes:
    """The image block of what differs from the frame before, at least one pixel."""
    top, left, (bottom, right) = 0, 0, index.shape
    if before is not None:
        rows, columns = np.nonzero(index != before)
        top, bottom = (int(rows.min()), int(rows.max()) + 1) if rows.size else (0, 1)
        left, right = (int(columns.min()), int(columns.max()) + 1) if rows.size else (0, 1)
    part = Image.fromarray(np.ascontiguousarray(index[top:bottom, left:right]), "P")
    part.putpalette(palette.table())
    data, _, _ = _still(part)
    return b"\x2c" + struct.pack("<HHHHB", left, top, right - left, bottom - top, 0) + data


def _own(frame_HWC: np.ndarray) -> bytes:
    """The image block of a frame with a palette of its own."""
    found = exact([frame_HWC])
    assert found is not None  # `of_clip` gives a palette for the clip where a frame has too many
    part = Image.fromarray(found.index(frame_HWC), "P")
    part.putpalette(found.table())
    data, table, bits = _still(part)
    height, width = frame_HWC.shape[:2]
    return b"\x2c" + struct.pack("<HHHHB", 0, 0, width, height, 0x80 | (bits - 1)) + table + data


def _still(image: Image.Image) -> tuple[bytes, bytes, int]:
    """(LZW image data, palette bytes, palette bits) of an image with a palette: Pillow writes a
    still, whose blocks are taken over.
    """
    buffer = io.BytesIO()
    image.save(buffer, "GIF", optimize=False, interlace=False)
    raw = buffer.getvalue()
    bits = (raw[10] & 7) + 1  # a still of Pillow's has one global palette
    place = 13 + (3 << bits)
    while raw[place] == 0x21:  # extension blocks
        place = _after_blocks(raw, place + 2)
    return raw[place + 10 : -1], raw[13 : 13 + (3 << bits)], bits


def _after_blocks(raw: bytes, position: int) -> int:
    while raw[position]:
        position += raw[position] + 1
    return position + 1
