"""GIF, animated PNG and animated WebP: Pillow composes palettes, transparency and disposal."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import numpy as np
from PIL import Image

from mindlong.media import colours
from mindlong.media.images import check_head, decoding, flattened, reason
from mindlong.media.limits import Limits, check_side
from mindlong.media.reader import VideoReader
from mindlong.media.timing import Delays
from mindlong.utils.errors import InputFileError
from mindlong.utils.shown import shown

NAMES = {"gif": "GIF", "png": "PNG", "webp": "WEBP"}


def open_animation(
    path: Path,
    kind: str,
    stack: contextlib.ExitStack,
    limits: Limits,
    background: colours.Colour,
) -> VideoReader:
    """A reader of a GIF, or of an animated PNG or WebP (`kind`: gif, png, webp).

    Raises:
        InputFileError: damaged, too large, or a still PNG or WebP.
    """
    check_head(path, limits)
    with decoding(path, f"a {NAMES[kind]}"):
        image = stack.enter_context(Image.open(path, formats=(NAMES[kind],)))
        check_side(path, (image.height, image.width), limits)
        promised = None if kind == "gif" else image.n_frames  # a GIF says it at its end only
    if promised == 1:
        raise InputFileError(
            f"{shown(path)} is a still image; a folder of images is a video, a single one is not"
        )
    skipped = int(getattr(image, "default_image", False))  # shown only where nothing moves
    clock = Delays()
    reader = VideoReader(path, (image.height, image.width), clock, promised)
    reader.promised = promised - skipped if promised else None
    reader._frames = _frames(image, reader, clock, background, skipped)
    return reader


def _frames(
    image: Image.Image,
    reader: VideoReader,
    clock: Delays,
    background: colours.Colour,
    skipped: int,
) -> Iterator[np.ndarray]:
    for number in count():
        try:
            if number + skipped:
                image.seek(number + skipped)
            frame, notes = flattened(image, background)
            clock.append(int(image.info.get("duration", 0)))
        except EOFError:
            if image.format == "GIF" and not _is_whole(reader.path):
                reader.say("it is cut off: its end mark is missing, and perhaps frames")
            return
        except Exception as error:
            raise InputFileError(
                f"{shown(reader.path)} ends or breaks in frame {number}: {reason(error)}"
            ) from error
        for note in notes:
            reader.say(note)
        yield frame


def _is_whole(path: Path) -> bool:
    """Whether a GIF has its end mark; zeros may follow."""
    with path.open("rb") as file:
        file.seek(max(path.stat().st_size - 4096, 0))
        return file.read().rstrip(b"\0").endswith(b";")
