"""Images: one frame of a video, or what a video begins with. The header is looked at before the
pixels are decoded.

Brought to 8-bit colours (H, W, 3): palettes and grey levels spread out, 16 bits shortened,
transparent parts shown on a colour, turned as the camera noted.
"""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import (
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    ImageOps,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

from mindlong.media import colours, held
from mindlong.media.formats import IMAGE_SUFFIXES, head_of, webp_size
from mindlong.media.limits import LIMITS, Limits, check_side
from mindlong.utils.errors import InputFileError, UserError
from mindlong.utils.log import once
from mindlong.utils.placed import placed
from mindlong.utils.shown import shown

FORMATS = tuple(  # none that runs other programs, as that for PostScript does
    kind.format
    for kind in (
        PngImagePlugin.PngImageFile,
        JpegImagePlugin.JpegImageFile,
        BmpImagePlugin.BmpImageFile,
        WebPImagePlugin.WebPImageFile,
        TiffImagePlugin.TiffImageFile,
        GifImagePlugin.GifImageFile,
    )
)
TURNED = 274  # EXIF: orientation

warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)  # sizes are checked here
warnings.filterwarnings("ignore", module=r"PIL\..*")  # on damage, which is said in a sentence


@dataclass(frozen=True)
class Still:
    """A decoded image: `frame` (H, W, 3) uint8, and sentences on what was done to it."""

    frame: np.ndarray
    notes: tuple[str, ...] = ()


def read_image(
    path: str | Path, limits: Limits = LIMITS, background: colours.Colour | None = None
) -> np.ndarray:
    """An image as uint8 (H, W, 3); what is done to it is logged, once. Raises InputFileError where
    it is missing, no image, damaged or too large.
    """
    still = read_still(Path(path), limits, background)
    for note in still.notes:
        once(f"{shown(path)}: {note}", logging.WARNING)
    return still.frame


def read_still(
    path: Path, limits: Limits = LIMITS, background: colours.Colour | None = None
) -> Still:
    """As `read_image`, with notes."""
    given = held.find(path)
    if given is not None:
        return Still(given.frames[0])
    path = placed(path)
    check_head(path, limits)
    with decoding(path, "an image"), Image.open(path, formats=FORMATS) as image:
        check_side(path, (image.height, image.width), limits)
        return _still(image, colours.background() if background is None else background)


def image_size(path: Path, limits: Limits = LIMITS) -> tuple[int, int]:
    """(height, width) of an image as it will be read, by its header alone. Raises
    InputFileError.
    """
    check_head(path, limits)
    with decoding(path, "an image"), Image.open(path, formats=FORMATS) as image:
        check_side(path, (image.height, image.width), limits)
        size = image.height, image.width
        return size[::-1] if image.getexif().get(TURNED, 1) in (5, 6, 7, 8) else size


def check_head(path: Path, limits: Limits) -> None:
    """Raise InputFileError where an image cannot be read at all, and where a WebP is too large:
    Pillow makes room for the whole of it when it is opened, for others when they are decoded.
    """
    size = webp_size(head_of(path))
    if size:
        check_side(path, size, limits)


@contextlib.contextmanager
def decoding(path: Path, what: str) -> Iterator[None]:
    """Whatever a decoder raises on a damaged file is an InputFileError that names the file.

    Pillow raises OSError, SyntaxError, ValueError, struct.error, zlib.error, IndexError, KeyError,
    TypeError, EOFError, MemoryError, DecompressionBombError and more.
    """
    try:
        yield
    except UserError:
        raise
    except Image.DecompressionBombError as error:
        pixels = str(error).partition("(")[2].partition(" ")[0]
        raise InputFileError(
            f"{shown(path)} has {pixels} pixels; the limit is {LIMITS.side} pixels a side"
        ) from error
    except Exception as error:
        raise InputFileError(
            f"{shown(path)} cannot be decoded as {what}: {reason(error)}"
        ) from error


def reason(error: Exception) -> str:
    """The words of an error, on one line; its name where it has none."""
    name = type(error).__name__.replace("error", type(error).__module__)  # struct's, zlib's
    words = shown(" ".join(str(error).split()))[:200]
    if isinstance(error, Image.UnidentifiedImageError):
        return f"it is none of {', '.join(IMAGE_SUFFIXES)}, or its beginning is damaged"
    return words if isinstance(error, OSError) and words else f"{name} {words}".strip()


def flattened(image: Image.Image, background: colours.Colour) -> tuple[np.ndarray, list[str]]:
    """The pixels of an open image, (H, W, 3) uint8, and what was done to them."""
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        return _narrowed(image)
    if "A" in image.mode or "a" in image.mode or "transparency" in image.info:
        frame, through = colours.compose(np.asarray(image.convert("RGBA")), background)
        return frame, [colours.note(background)] if through else []
    return np.array(image.convert("RGB")), []


def _still(image: Image.Image, background: colours.Colour) -> Still:
    turned = image.getexif().get(TURNED, 1) not in (0, 1)
    if turned:
        image = ImageOps.exif_transpose(image)
    frame, notes = flattened(image, background)
    if turned:
        notes.append("it is turned as the camera noted (EXIF)")
    return Still(frame, tuple(notes))


def _narrowed(image: Image.Image) -> tuple[np.ndarray, list[str]]:
    """Grey of more than 8 bits: the 8 highest of 16."""
    values = np.asarray(image)
    if values.dtype.kind == "f" or values.min(initial=0) < 0 or values.max(initial=0) > 65535:
        raise ValueError("its grey levels are not of 8 or 16 bits; what is white is not known")
    grey = (values.astype(np.uint32) >> 8).astype(np.uint8)
    return np.repeat(grey[..., None], 3, 2), ["its 16 bits are shortened to 8"]
