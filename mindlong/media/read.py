"""Videos from files: anything OpenCV's FFmpeg decodes (MP4, AVI, WebM, MOV, MKV), GIF, and folders
of frames.

Frame counts come from reading, never from what a container promises. Frames are uint8 RGB (H, W,
3). Axes: F frames, H, W pixels, C channels.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, UnidentifiedImageError

from mindlong.utils.errors import ConfigError, InputFileError

VIDEO_SUFFIXES = (".mp4", ".avi", ".webm", ".mov", ".mkv", ".m4v", ".gif")
IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp")
USUAL_RATE = 25.0  # for files that state none


@dataclass(frozen=True)
class Limits:
    """What a file may hold before it is refused: guards against broken headers and against filling
    the memory.
    """

    frames: int = 100_000
    side: int = 8192  # pixels
    seconds: float = 4 * 3600.0
    gigabytes: float = 8.0  # of the frames read into memory at once


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


@dataclass
class VideoReader:
    """A stream of frames. Take it from `open_reader` and iterate once; `fps`, `notes` and
    `variable_rate` are final after that.
    """

    path: Path
    size: tuple[int, int]
    fps: float
    promised: int | None = None
    notes: list[str] = field(default_factory=list)
    variable_rate: bool = False
    _frames: Iterator[np.ndarray] = field(default_factory=lambda: iter(()), repr=False)

    def __iter__(self) -> Iterator[np.ndarray]:
        return self._frames


def is_video(path: Path) -> bool:
    """Whether `path` looks like a video: a file with a video's suffix (any case), or a folder that
    holds images itself.
    """
    if path.is_dir():
        return any(_is_image(p) for p in path.iterdir())
    return path.suffix.lower() in VIDEO_SUFFIXES and not path.name.startswith(".")


def read_video(
    path: str | Path, max_frames: int | None = None, limits: Limits = Limits()
) -> tuple[np.ndarray, float]:
    """(frames (F, H, W, 3) uint8, frames per second); at most the first `max_frames`.

    Raises InputFileError if the file is missing, is no video, ends in the middle of a frame or
    exceeds `limits`.
    """
    if max_frames is not None and max_frames < 1:
        raise ConfigError(f"max_frames is {max_frames}; at least 1 is needed")
    with open_reader(path, limits) as reader:
        room = int(limits.gigabytes * 2**30 / (3 * reader.size[0] * reader.size[1]))
        frames = []
        for frame in reader:
            if len(frames) >= room:
                raise InputFileError(
                    f"{path} needs over {limits.gigabytes:g} GiB of memory; ask for fewer frames"
                )
            frames.append(frame)
            if len(frames) == max_frames:
                break
    return np.stack(frames), reader.fps


def probe(path: str | Path, limits: Limits = Limits()) -> VideoInfo:
    """Decode `path` to its end and say what it holds; raises InputFileError as `read_video`
    does.
    """
    with open_reader(path, limits) as reader:
        count = sum(1 for _ in reader)
        return VideoInfo(count, reader.fps, reader.size, tuple(reader.notes))


@contextlib.contextmanager
def open_reader(path: str | Path, limits: Limits = Limits()) -> Iterator[VideoReader]:
    """A streaming reader: `with open_reader(path) as r: for frame_HWC in r: ...`. Raises
    InputFileError as it meets trouble.
    """
    path = Path(path)
    if not path.exists():
        raise InputFileError(f"{path} does not exist")
    with contextlib.ExitStack() as stack:
        if path.is_dir():
            reader = _open_folder(path)
        elif path.suffix.lower() == ".gif":
            reader = _open_gif(path, stack)
        else:
            reader = _open_container(path, stack)
        if max(reader.size) > limits.side:
            raise InputFileError(
                f"{path} has frames of {reader.size[0]}x{reader.size[1]}; "
                f"the limit is {limits.side} pixels a side"
            )
        reader._frames = _guarded(reader, reader._frames, limits)
        yield reader


def _guarded(
    reader: VideoReader, frames: Iterator[np.ndarray], limits: Limits
) -> Iterator[np.ndarray]:
    """The frames, all of one size, at least one, not too many."""
    count = 0
    for frame in frames:
        if frame.shape[:2] != reader.size:
            raise InputFileError(
                f"{reader.path} changes its size from {reader.size[0]}x{reader.size[1]} to "
                f"{frame.shape[0]}x{frame.shape[1]} at frame {count}"
            )
        count += 1
        if count > limits.frames or count > limits.seconds * reader.fps:
            raise InputFileError(
                f"{reader.path} is longer than the limit of {limits.frames} frames or "
                f"{limits.seconds:g} seconds; cut it first"
            )
        yield frame
    if not count:
        raise InputFileError(f"{reader.path} holds no frame that can be decoded")
    if reader.promised and count < reader.promised:
        reader.notes.append(f"the file promises {reader.promised} frames, {count} could be read")


# Folders of frames


def _is_image(path: Path) -> bool:
    return path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".")


def _by_number(path: Path) -> list:
    """frame_2 before frame_10."""
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", path.name.lower())]


def _open_folder(folder: Path) -> VideoReader:
    images = sorted((p for p in folder.iterdir() if _is_image(p)), key=_by_number)
    if not images:
        raise InputFileError(
            f"{folder} is a folder without frames; it needs {', '.join(IMAGE_SUFFIXES)} files"
        )
    stated = folder / "frames.json"
    try:
        fps = float(json.loads(stated.read_text())["fps"]) if stated.exists() else USUAL_RATE
    except (ValueError, KeyError, TypeError) as error:
        raise InputFileError(
            f'{stated} is not a description of frames; it needs {{"fps": number}}'
        ) from error
    reader = VideoReader(folder, _image(images[0]).shape[:2], fps, len(images))
    reader._frames = map(_image, images)
    return reader


def _image(path: Path) -> np.ndarray:
    try:
        with Image.open(path) as image:
            return np.asarray(image.convert("RGB"))
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise InputFileError(f"{path} cannot be decoded as an image: {error}") from error


# GIF: Pillow composes palettes, transparency and disposal


def _open_gif(path: Path, stack: contextlib.ExitStack) -> VideoReader:
    try:
        image = stack.enter_context(Image.open(path))
    except (UnidentifiedImageError, OSError, Image.DecompressionBombError) as error:
        raise InputFileError(f"{path} cannot be decoded as a GIF: {error}") from error
    if image.format != "GIF":
        raise InputFileError(
            f"{path} is named as a GIF but holds {image.format}; rename or convert it"
        )
    delays: list[int] = []
    reader = VideoReader(
        path, (image.height, image.width), _gif_rate([image.info.get("duration", 0)])
    )
    reader._frames = _gif_frames(image, reader, delays)
    return reader


def _gif_frames(image: Image.Image, reader: VideoReader, delays: list[int]) -> Iterator[np.ndarray]:
    while True:
        try:
            frame = np.array(image.convert("RGB"))
        except (OSError, SyntaxError, IndexError, ValueError) as error:
            raise InputFileError(
                f"{reader.path} ends or breaks in frame {len(delays)}: {error}"
            ) from error
        delays.append(int(image.info.get("duration", 0)))
        reader.fps = _gif_rate(delays)
        yield frame
        try:
            image.seek(len(delays))
        except EOFError:
            break
        except (OSError, SyntaxError, IndexError, ValueError) as error:
            raise InputFileError(
                f"{reader.path} ends or breaks in frame {len(delays)}: {error}"
            ) from error
    if max(delays) - min(delays) > 10:
        reader.variable_rate = True
        reader.notes.append(
            f"frames are shown for {min(delays)} to {max(delays)} ms; the mean rate is used"
        )


def _gif_rate(delays: list[int]) -> float:
    """Frames a second; a delay of 0 or 10 ms is shown as 100 ms by every viewer."""
    shown = [d if d > 10 else 100 for d in delays]
    return 1000 * len(shown) / sum(shown)


# Containers: OpenCV


def _open_container(path: Path, stack: contextlib.ExitStack) -> VideoReader:
    if path.stat().st_size == 0:
        raise InputFileError(f"{path} is empty")
    os.environ.setdefault(
        "OPENCV_FFMPEG_LOGLEVEL", "-8"
    )  # the sentence below says it; FFmpeg's lines name addresses
    capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, 1])
    stack.callback(capture.release)
    if not capture.isOpened():
        raise InputFileError(
            f"{path} cannot be decoded: it is no video, it is cut off, or its codec is unknown"
        )
    ok, first = capture.read()
    if not ok:
        raise InputFileError(f"{path} holds no frame that can be decoded")
    fps = capture.get(cv2.CAP_PROP_FPS)
    notes = []
    if not (np.isfinite(fps) and 0.01 <= fps <= 1000):
        notes.append(f"the file states no frame rate; {USUAL_RATE:g} is assumed")
        fps = USUAL_RATE
    promised = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
    reader = VideoReader(
        path, first.shape[:2], float(fps), promised if promised > 0 else None, notes
    )
    reader._frames = _container_frames(capture, first, reader)
    return reader


def _container_frames(
    capture: cv2.VideoCapture, first: np.ndarray, reader: VideoReader
) -> Iterator[np.ndarray]:
    times = [capture.get(cv2.CAP_PROP_POS_MSEC)]
    frame, ok = first, True
    while ok:
        yield cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)
        ok, frame = capture.read()
        if ok:
            times.append(capture.get(cv2.CAP_PROP_POS_MSEC))
    gaps = np.diff(times)
    if len(gaps) > 1 and gaps.max() > 1.5 * np.median(gaps) + 2:
        reader.variable_rate = True
        reader.notes.append(
            f"frames are {gaps.min():.0f} to {gaps.max():.0f} ms apart; even spacing is assumed"
        )
