"""Videos to files: MP4 (H.264), WebM (VP9), AVI (motion JPEG), GIF, WebP, and folders of PNG.

Every writer writes aside and renames, so a file is whole or absent. Frames are uint8 RGB (H, W, 3);
grey (H, W) or (H, W, 1) is accepted. Axes: F frames, H, W pixels, C channels.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from mindlong.media.encode import CODECS, NEEDS_EVEN, FfmpegWriter
from mindlong.media.gif import GifWriter
from mindlong.media.recipe import png_info
from mindlong.media.sheet import write_contact_sheet as write_contact_sheet
from mindlong.media.webp import WebpWriter
from mindlong.utils import interrupts
from mindlong.utils.atomic import remove_written, replacing
from mindlong.utils.errors import ConfigError, UserError, did_you_mean
from mindlong.utils.log import once
from mindlong.utils.shown import shown
from mindlong.utils.system import explained

SUFFIXES = (*CODECS, ".gif")
LONGEST_NAME = 160  # bytes: a number, a suffix and a temporary name are put around it
RATE = "frames.json"  # in a folder of frames
_RESERVED = {"con", "prn", "aux", "nul", *(f"{d}{n}" for d in ("com", "lpt") for n in range(1, 10))}


def safe_name(text: str, longest: int = 60) -> str:
    """`text` (a prompt, say) as a file name without suffix that every system accepts: letters and
    digits of all scripts, `-` and `_`; at most `longest` letters and LONGEST_NAME bytes.
    """
    whole = unicodedata.normalize("NFC", text)
    name = "".join(c if c in "-_" or unicodedata.category(c)[0] in "LNM" else " " for c in whole)
    name = _cut("_".join(name.split()).strip("_-.")[:longest]).rstrip("_-")
    return f"{name}_" if name.lower() in _RESERVED else name or "video"


def distinct_names(texts: Sequence[str], longest: int = 60) -> list[str]:
    """`safe_name` of each text; the second of equal ones ends in _2, and so on. Names that differ
    in upper and lower case only count as equal: some systems hold them for one file.
    """
    found: list[str] = []
    taken: set[str] = set()
    for text in texts:
        name = base = safe_name(text, longest)
        number = 1
        while name.casefold() in taken:
            number += 1
            name = f"{base}_{number}"
        taken.add(name.casefold())
        found.append(name)
    return found


def _cut(name: str) -> str:
    return name.encode("utf-8", "ignore")[:LONGEST_NAME].decode("utf-8", "ignore")


def write_video(
    path: str | Path, frames_FHWC: Sequence[np.ndarray] | np.ndarray, fps: float
) -> Path:
    """Write uint8 frames (F, H, W, 3) to `path`; its suffix chooses the format, no suffix means a
    folder of PNG frames.

    An existing file is replaced, an existing folder is not. MP4 and WebM need even sides: odd ones
    grow by their last row or column, and the log says so. Raises ConfigError on unknown suffixes,
    wrong frames or rates, UserError if encoding fails.
    """
    if len(frames_FHWC) == 0:
        raise ConfigError(f"{path} cannot be written: a video needs at least one frame")
    with open_writer(path, fps) as writer:
        for frame in frames_FHWC:
            writer.append(frame)
    return Path(path)


def write_frames(folder: str | Path, frames_FHWC: Iterable[np.ndarray], fps: float = 8.0) -> Path:
    """Write `000000.png`, `000001.png`, ... and `frames.json` (the rate) to a new folder; raises
    UserError if it has files.
    """
    with FrameFolder(Path(folder), fps) as writer:
        for frame in frames_FHWC:
            writer.append(frame)
    return Path(folder)


def open_writer(
    path: str | Path, fps: float, comment: str = "", gif_mb: float = 0.0
) -> VideoFile | FrameFolder:
    """A streaming writer: `with open_writer(path, fps) as w: w.append(frame)`. On an error inside,
    nothing is left behind. `comment` is kept in the file (`mindlong.media.recipe`); `gif_mb` is
    the largest GIF in megabytes, 0: any.
    """
    path = Path(path)
    if not (np.isfinite(fps) and 0.01 <= fps <= 1000):
        raise ConfigError(f"fps is {fps}; it must be between 0.01 and 1000")
    if not path.suffix:
        return FrameFolder(path, fps, comment=comment)
    if path.suffix not in SUFFIXES:
        raise ConfigError(
            f"{path.name} cannot be written as a video.{did_you_mean(path.suffix, SUFFIXES)}"
        )
    return VideoFile(path, fps, comment, gif_mb)


class VideoFile(contextlib.AbstractContextManager):
    """Streams frames into one file. Take it from `open_writer`. All frames must have the size of
    the first.
    """

    def __init__(self, path: Path, fps: float, comment: str = "", gif_mb: float = 0.0):
        self.path, self.fps, self.count, self.comment = path, fps, 0, comment
        self._gif_mb = gif_mb
        self._stack = contextlib.ExitStack()
        self._sink: FfmpegWriter | GifWriter | None = None
        self._size: tuple[int, int] | None = None

    def append(self, frame_HWC: np.ndarray) -> None:
        """Add one frame (H, W, 3), (H, W, 1) or (H, W) uint8."""
        frame = _checked(frame_HWC, self._size)
        if self._sink is None:
            self._sink = self._opened((frame.shape[0], frame.shape[1]))
        self._sink.append(self._fitted(frame))
        self.count += 1

    def __exit__(self, kind, error, trace) -> None:
        if kind is None and self._sink is not None:
            with self._stack:
                self._sink.close()
        else:
            if isinstance(self._sink, FfmpegWriter):
                self._sink.abandon()
            self._stack.__exit__(kind or UserError, error or UserError("nothing written"), trace)
        if kind is None and self._sink is None:
            raise ConfigError(f"{self.path} cannot be written: a video needs at least one frame")

    def _opened(self, size: tuple[int, int]) -> FfmpegWriter | GifWriter:
        self._size = size
        aside = self._stack.enter_context(replacing(self.path))
        if self.path.suffix == ".gif":
            file = self._stack.enter_context(aside.open("wb"))
            return GifWriter(
                file, size, self.fps, self.comment, self._gif_mb, self.path.name, self.path.parent
            )
        if self.path.suffix == ".webp":
            return WebpWriter(aside, size, self.fps, self.comment)
        fitting = _even(size) if self.path.suffix in NEEDS_EVEN else size
        return FfmpegWriter(aside, fitting, self.fps, self.comment)

    def _fitted(self, frame_HWC: np.ndarray) -> np.ndarray:
        height, width = frame_HWC.shape[:2]
        even = _even((height, width))
        if self.path.suffix not in NEEDS_EVEN or (height, width) == even:
            return frame_HWC
        once(
            f"{self.path.suffix[1:]} needs even sides: {height}x{width} is written as "
            f"{even[0]}x{even[1]}, the last row or column repeated"
        )
        return np.pad(frame_HWC, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")


class FrameFolder(contextlib.AbstractContextManager):
    """Streams frames into a new folder of PNG files. Take it from `open_writer`.

    Args:
        replace: a folder that holds nothing but frames is replaced once the new one is whole.
        comment: kept in every frame's file.
    """

    def __init__(self, folder: Path, fps: float, replace: bool = False, comment: str = ""):
        self.folder, self.fps, self.count, self._replace = folder, fps, 0, replace
        self._comment = comment
        self._check_free()
        self._size: tuple[int, int] | None = None
        self._aside = folder.with_name(f".{folder.name}.{os.getpid()}.tmp")
        self._stay = interrupts.at_leaving(self._abandon)

    def append(self, frame_HWC: np.ndarray) -> None:
        """Add one frame (H, W, 3), (H, W, 1) or (H, W) uint8."""
        frame = _checked(frame_HWC, self._size)
        self._size = (frame.shape[0], frame.shape[1])
        path = self._aside / f"{self.count:06d}.png"
        with explained(self.folder):
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(frame).save(path, pnginfo=png_info(self._comment))
        self.count += 1

    def __exit__(self, kind, error, trace) -> None:
        try:
            if kind is None and self.count:
                with explained(self.folder):
                    self._publish()
        finally:
            self._abandon()
            self._stay()
        if kind is None and not self.count:
            raise ConfigError(f"{self.folder} cannot be written: a video needs at least one frame")

    def _publish(self) -> None:
        rate = json.dumps({"fps": self.fps, "frames": self.count}) + "\n"
        (self._aside / RATE).write_text(rate)
        self._check_free()
        if self.folder.is_dir():
            remove_written(self.folder, is_frame)
        os.replace(self._aside, self.folder)

    def _check_free(self) -> None:
        """Raise where something is there that must not be replaced."""
        there = self.folder
        if there.is_symlink() or there.is_file():
            raise UserError(f"{there} is there already and is no folder of frames")
        ours = is_frame if self._replace else lambda name: False
        foreign = [p.name for p in there.iterdir() if not ours(p.name)] if there.is_dir() else []
        if foreign:
            raise UserError(
                f"{there} exists and is not an empty folder (it holds {shown(foreign[0], most=60)}); "
                "frames are never mixed with other files, and nothing is overwritten"
            )

    def _abandon(self) -> None:
        shutil.rmtree(self._aside, ignore_errors=True)


def is_frame(name: str) -> bool:
    """Whether a name is one that a folder of frames has inside."""
    return bool(re.fullmatch(r"\d{6,}\.png", name)) or name == RATE


def _even(size: tuple[int, int]) -> tuple[int, int]:
    return size[0] + size[0] % 2, size[1] + size[1] % 2


def _checked(frame: np.ndarray, size: tuple[int, int] | None) -> np.ndarray:
    """The frame as contiguous uint8 (H, W, 3)."""
    frame = np.asarray(frame)
    if frame.dtype != np.uint8:
        raise ConfigError(
            f"a frame of dtype {frame.dtype} cannot be written; frames are uint8, 0 to 255"
        )
    if frame.ndim == 2:
        frame = frame[..., None]
    if frame.ndim != 3 or frame.shape[2] not in (1, 3) or 0 in frame.shape:
        raise ConfigError(
            f"a frame of shape {frame.shape} cannot be written; it must be (height, width, 3) or grey"
        )
    if size is not None and frame.shape[:2] != size:
        raise ConfigError(
            f"a frame of {frame.shape[0]}x{frame.shape[1]} follows frames of {size[0]}x{size[1]}; "
            "all frames of a video have one size"
        )
    return np.ascontiguousarray(np.broadcast_to(frame, (*frame.shape[:2], 3)))
