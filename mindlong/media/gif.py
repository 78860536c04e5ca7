"""A GIF writer that keeps every frame.

Pillow merges equal neighbours, so a still of five frames comes back as one; here every frame is its
own image block with its own palette, exact where a frame has at most 256 colours. Layout after the
GIF89a specification, sections 18-27.
"""

from __future__ import annotations

import io
import struct
from typing import BinaryIO

import numpy as np
from PIL import Image

from mindlong.media.recipe import gif_block

MIN_DELAY = 2  # hundredths of a second; viewers show shorter delays at 10 frames a second


class GifWriter:
    """Appends frames (H, W, 3) uint8 to an open binary file; `close` writes the trailer. Loops for
    ever.
    """

    def __init__(self, file: BinaryIO, size: tuple[int, int], fps: float, comment: str = ""):
        self.file, self.size, self.fps = file, size, min(fps, 100 / MIN_DELAY)
        self.count = 0
        height, width = size
        file.write(b"GIF89a" + struct.pack("<HHBBB", width, height, 0x70, 0, 0))
        file.write(b"\x21\xff\x0bNETSCAPE2.0\x03\x01\x00\x00\x00")
        file.write(gif_block(comment))

    def append(self, frame_HWC: np.ndarray) -> None:
        """Add one frame, shown for 1/fps seconds (rounded so that the whole keeps time)."""
        begin, end = (round(100 * n / self.fps) for n in (self.count, self.count + 1))
        self.count += 1
        palette, bits, data = _encoded(frame_HWC)
        self.file.write(b"\x21\xf9\x04" + struct.pack("<BHB", 0x04, end - begin, 0) + b"\x00")
        height, width = self.size
        self.file.write(
            b"\x2c" + struct.pack("<HHHHB", 0, 0, width, height, 0x80 | (bits - 1)) + palette + data
        )

    def close(self) -> None:
        """End the file; it stays open for its owner to close."""
        self.file.write(b"\x3b")


def _encoded(frame_HWC: np.ndarray) -> tuple[bytes, int, bytes]:
    """(palette bytes, palette bits, LZW image data) of one frame: Pillow writes a still, whose
    blocks are taken over.
    """
    buffer = io.BytesIO()
    _paletted(frame_HWC).save(buffer, "GIF", optimize=False, interlace=False)
    raw = buffer.getvalue()
    bits = (raw[10] & 7) + 1  # a still of Pillow's has one global palette
    image = 13 + (3 << bits)
    while raw[image] == 0x21:  # extension blocks
        image = _after_blocks(raw, image + 2)
    return raw[13 : 13 + (3 << bits)], bits, raw[image + 10 : -1]


def _after_blocks(raw: bytes, position: int) -> int:
    while raw[position]:
        position += raw[position] + 1
    return position + 1


def _paletted(frame_HWC: np.ndarray) -> Image.Image:
    """The frame with a palette: exact up to 256 colours, else the nearest of a median cut."""
    packed = frame_HWC.astype(np.uint32) @ np.array([65536, 256, 1], np.uint32)
    colours, index = np.unique(packed, return_inverse=True)
    if len(colours) > 256:
        return Image.fromarray(frame_HWC).quantize(
            256, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE
        )
    image = Image.fromarray(index.reshape(packed.shape).astype(np.uint8), "P")
    image.putpalette(
        np.stack([colours >> 16, colours >> 8 & 255, colours & 255], 1).astype(np.uint8).tobytes()
    )
    return image
