"""Videos from files: everything that ffmpeg decodes and that holds its own frames, GIF, animated
PNG and WebP, and folders of frames.

Frames come as they are meant to be seen (turned as the file says, pixels square, transparent parts
on a colour), with the times at which they are shown; what is done to them is said in notes. Frame
counts come from reading, never from what a container promises. Frames are uint8 RGB (H, W, 3).
Axes: F frames, H, W pixels, C channels.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mindlong.media import colours, held
from mindlong.media.animations import NAMES, open_animation
from mindlong.media.containers import open_container
from mindlong.media.folders import open_folder
from mindlong.media.formats import (
    IMAGE_SUFFIXES,
    VIDEO_SUFFIXES,
    foreign,
    head_of,
    is_video,
    kind_of,
    why_unreadable,
)
from mindlong.media.images import read_image
from mindlong.media.limits import LIMITS, Limits, check_side
from mindlong.media.reader import VideoReader
from mindlong.media.timing import Steady
from mindlong.utils.errors import ConfigError, InputFileError
from mindlong.utils.log import once
from mindlong.utils.shown import shown

__all__ = [
    "IMAGE_SUFFIXES",
    "VIDEO_SUFFIXES",
    "Limits",
    "VideoInfo",
    "VideoReader",
    "is_video",
    "open_reader",
    "probe",
    "read_image",
    "read_video",
]


@dataclass(frozen=True)
class VideoInfo:
    """What reading a file to its end found. `notes` are sentences on oddities: a changing rate,
    missing frames.
    """

    frames: int
    fps: float
    size: tuple[int, int]  # height, width
    notes: tuple[str, ...] = ()

    @property
    def seconds(self) -> float:
        """Its length at the mean rate."""
        return self.frames / self.fps


def read_video(
    path: str | Path, max_frames: int | None = None, limits: Limits = LIMITS
) -> tuple[np.ndarray, float]:
    """(frames (F, H, W, 3) uint8, frames per second); at most the first `max_frames`.

    Raises InputFileError if the file is missing, is no video, ends in the middle of a frame or
    exceeds `limits`.
    """
    if max_frames is not None and max_frames < 1:
        raise ConfigError(f"max_frames is {max_frames}; at least 1 is needed")
    with open_reader(path, limits) as reader:
        room = int(limits.gigabytes * 2**30 / (3 * reader.size[0] * reader.size[1]))
        frames: list[np.ndarray] = []
        for frame in reader:
            if len(frames) >= room:
                raise InputFileError(
                    f"{shown(path)} needs over {limits.gigabytes:g} GiB of memory; ask for fewer frames"
                )
            frames.append(frame)
            if len(frames) == max_frames:
                break
        return np.stack(frames), reader.fps


def probe(path: str | Path, limits: Limits = LIMITS) -> VideoInfo:
    """Decode `path` to its end and say what it holds; raises InputFileError as `read_video`
    does.
    """
    with open_reader(path, limits) as reader:
        count = sum(1 for _ in reader)
        return VideoInfo(count, reader.fps, reader.size, tuple(reader.notes))


@contextlib.contextmanager
def open_reader(
    path: str | Path,
    limits: Limits = LIMITS,
    background: colours.Colour | None = None,
    say: bool = True,
) -> Iterator[VideoReader]:
    """A streaming reader: `with open_reader(path) as r: for frame_HWC in r: ...`.

    Args:
        background: what shows where the video is transparent; None: what
            `mindlong.media.colours.shown_on` has chosen, white without it.
        say: log the reader's notes at the end, each once for a file; else the caller says them.

    Raises:
        InputFileError: as it meets trouble.
    """
    path = Path(path)
    ground = colours.background() if background is None else background
    with contextlib.ExitStack() as stack:
        reader = _opened(path, stack, limits, ground)
        check_side(path, reader.size, limits)
        reader._frames = reader.guarded(limits, reader._frames)
        yield reader
        for note in reader.notes if say else ():
            once(f"{shown(path)}: {note}", logging.WARNING)


def _opened(
    path: Path, stack: contextlib.ExitStack, limits: Limits, background: colours.Colour
) -> VideoReader:
    """The reader for what the first bytes of `path` show, whatever its name says."""
    given = held.find(path)
    if given is not None:
        clock, frames = Steady(given.fps), given.frames
        size = (frames.shape[1], frames.shape[2])
        return VideoReader(path, size, clock, len(frames), _frames=iter(frames))
    try:
        folder = path.is_dir()
    except OSError as error:
        raise InputFileError(why_unreadable(path, error)) from error
    if folder:
        return open_folder(path, limits, background)
    head, suffix = head_of(path), path.suffix.lower()
    kind = kind_of(head)
    what = foreign(head, suffix) if kind == "container" else ""
    if what:
        a = f" as a {NAMES[suffix[1:]]}" if suffix[1:] in NAMES else ""
        raise InputFileError(f"{shown(path)} cannot be decoded{a}: it {what}")
    if kind == "container":
        return open_container(path, stack, limits, background)
    return open_animation(path, kind, stack, limits, background)
