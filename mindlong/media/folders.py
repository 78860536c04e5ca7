"""Folders of images as videos: one file a frame, in the order of the numbers in their names."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from mindlong.media import colours
from mindlong.media.formats import IMAGE_SUFFIXES, is_image, why_unreadable
from mindlong.media.images import image_size, read_still
from mindlong.media.limits import Limits
from mindlong.media.reader import VideoReader
from mindlong.media.timing import FASTEST, SLOWEST, USUAL_RATE, Steady, believed
from mindlong.utils.errors import InputFileError
from mindlong.utils.shown import shown
from mindlong.utils.text_file import read_text

RATE_FILE = "frames.json"


def open_folder(folder: Path, limits: Limits, background: colours.Colour) -> VideoReader:
    """A reader of the images in a folder; `frames.json` beside them may state {"fps": number}.

    Raises:
        InputFileError: no image, or a description that is none. Damaged images and those of
            another size are met when their turn comes.
    """
    try:
        images = sorted((p for p in folder.iterdir() if is_image(p)), key=by_number)
    except OSError as error:
        raise InputFileError(why_unreadable(folder, error)) from error
    if not images:
        raise InputFileError(
            f"{shown(folder)} is a folder without frames; it needs {', '.join(IMAGE_SUFFIXES)} files"
        )
    clock = Steady(_stated_rate(folder / RATE_FILE))
    reader = VideoReader(folder, image_size(images[0], limits), clock, said=_odd_names(images))
    reader._frames = _frames(images, reader, limits, background)
    reader.promised = len(images)
    return reader


def by_number(path: Path) -> list[tuple[int, int, str]]:
    """A key that sorts frame_2 before frame_10, and equal numbers by what is around them."""
    parts = re.split(r"([0-9]+)", path.name.lower())
    return [(1, int(p), p) if p.isascii() and p.isdigit() else (0, 0, p) for p in parts]


def _frames(
    images: Sequence[Path], reader: VideoReader, limits: Limits, background: colours.Colour
) -> Iterator[np.ndarray]:
    for path in images:
        still = read_still(path, limits, background)
        if still.frame.shape[:2] != reader.size:
            (high, wide), (height, width) = reader.size, still.frame.shape[:2]
            raise InputFileError(
                f"{shown(reader.path)} changes its size from {high}x{wide} to {height}x{width} at frame "
                f"{reader.count}, {shown(path.name)}; all frames need one size"
            )
        for note in still.notes:
            reader.say(note)
        yield still.frame


def _stated_rate(file: Path) -> float:
    if not file.is_file():
        return USUAL_RATE
    try:
        fps = float(json.loads(read_text(file))["fps"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise InputFileError(
            f'{shown(file)} is not a description of frames; it needs {{"fps": number}}'
        ) from error
    if not believed(fps):
        raise InputFileError(
            f"{shown(file)} states {fps:g} frames a second; {SLOWEST:g} to {FASTEST:g} are possible"
        )
    return fps


def _odd_names(images: Sequence[Path]) -> list[str]:
    """Sentences on numbers that are missing or there twice."""
    found = [re.search(r"([0-9]+)(?=[^0-9]*$)", p.stem) for p in images]
    numbers = [int(number[1]) for number in found if number]
    if len(numbers) < len(images):
        return []
    said = []
    twice = [n for n, times in Counter(p.stem.lower() for p in images).items() if times > 1]
    if twice:
        said.append(f"{len(twice)} of its frames are there twice, {shown(twice[0])!r} for instance")
    steps = Counter(b - a for a, b in zip(numbers, numbers[1:], strict=False))
    usual = steps.most_common(1)[0][0] if steps else 1
    for before, after in zip(numbers, numbers[1:], strict=False):
        if after - before > usual >= 1:
            said.append(f"its numbers have gaps, from {before} to {after} for instance")
            break
    return said
