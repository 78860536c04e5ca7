"""A folder of videos as a source of clips: GIF, MP4, AVI, WebM, MOV, MKV files and folders of
frames, at any depth.

Beside `x.mp4` (or the frame folder `x`) may lie `x.txt`, its caption, and `x.npy`, its embedding.
What clip a global sample number means, where it starts, how it is cropped and mirrored follow from
(seed, number) and the files alone.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from mindlong.data.decoded import Decoder
from mindlong.data.index import item_of, window
from mindlong.data.source import Sample
from mindlong.data.transforms import crop
from mindlong.media.read import VIDEO_SUFFIXES, is_video, open_reader
from mindlong.utils.errors import ConfigError, InputFileError
from mindlong.utils.log import get_logger
from mindlong.utils.progress import bar
from mindlong.utils.rng import generator

SHORT = ("repeat_last", "loop", "refuse")
CROPS = ("center", "random")


def find_clips(folder: str | Path) -> list[Path]:
    """Every video file and frame folder below `folder`, sorted by path; hidden ones are left out.

    A folder is a clip of frames if it holds images, no video file and no folder with clips. Raises
    InputFileError if `folder` is missing or holds no clip.
    """
    root = Path(folder)
    if not root.is_dir():
        raise InputFileError(
            f"data.folder {root} {'is not a folder' if root.exists() else 'does not exist'}"
        )
    found = _below(root, set())
    if not found:
        raise InputFileError(
            f"data.folder {root} holds no clip; {', '.join(VIDEO_SUFFIXES)} files or folders of "
            "frames are looked for at any depth"
        )
    return sorted(found, key=lambda p: p.relative_to(root).as_posix())


def _below(folder: Path, seen: set[Path]) -> list[Path]:
    real = folder.resolve()
    if real in seen:  # a link back up
        return []
    seen.add(real)
    with os.scandir(folder) as entries:
        visible = [Path(e.path) for e in entries if not e.name.startswith(".")]
    found = [p for p in visible if p.is_file() and is_video(p)]
    for sub in sorted(p for p in visible if p.is_dir()):
        found += _below(sub, seen)
    return found or ([folder] if is_video(folder) else [])


class ClipFolder:
    """A `data.source.Source` over a folder.

    Args:
        folder: searched as `find_clips` does.
        frames, size: of a clip; size is (height, width), reached by covering resize and crop.
        stride: every stride-th frame of a file; `fps`, if given, takes its place: frames a second,
            nearest before.
        short: files with too few frames repeat their last one, start again, or are refused (they
            count as bad).
        crop: `center`, or `random`, one place a clip.
        flip: mirror half of the clips.
        max_bad: how many unreadable files are skipped, each named once; one more is an error.
        cache_mb: decoded, resized frames kept by each process.

    Raises:
        ConfigError, InputFileError: impossible options; a missing or empty folder; more than
            `max_bad` bad files.
    """

    def __init__(
        self,
        folder: str | Path,
        frames: int,
        size: tuple[int, int],
        *,
        stride: int = 1,
        fps: float = 0.0,
        short: str = "repeat_last",
        crop: str = "center",
        flip: bool = False,
        max_bad: int = 10,
        seed: int = 0,
        cache_mb: int = 256,
    ) -> None:
        for name, value, valid in (("short", short, SHORT), ("crop", crop, CROPS)):
            if value not in valid:
                raise ConfigError(f"data.{name} is {value!r}; it must be one of {', '.join(valid)}")
        if frames < 1 or stride < 1 or fps < 0 or len(size) != 2 or min(size) < 1:
            raise ConfigError(
                f"data asks for {frames} frames of {list(size)}, stride {stride}, fps {fps:g}; "
                "all must be positive"
            )
        self.folder, self.frames, self.size, self.seed = Path(folder), frames, tuple(size), seed
        self.stride, self.fps, self.short, self.crop, self.flip, self.max_bad = (
            stride,
            fps,
            short,
            crop,
            flip,
            max_bad,
        )
        self.bad: dict[str, str] = {}
        self._decoder = Decoder(self.size, cache_mb)
        self.paths = self._readable(find_clips(folder))

    def sample(self, index: int) -> Sample:
        """The clip of global sample number `index`. A file found to be bad only now gives its turn
        to another one.

        Raises InputFileError when more than `max_bad` files are bad or none is left.
        """
        draw = generator(self.seed, "clip", index)
        start, top, left, mirror = draw.random(4)
        place = (top, left) if self.crop == "random" else None
        for attempt in range(20 * len(self.paths)):
            number = index if attempt == 0 else int(draw.integers(len(self.paths)))
            path = self.paths[self.home(number)]
            if str(path) in self.bad:
                continue
            try:
                return self._clip(path, start, place, self.flip and mirror < 0.5)
            except InputFileError as error:
                self.report_bad(path, str(error))
        raise InputFileError(
            f"no clip of {self.folder} can be used any more; {len(self.bad)} are bad"
        )

    def home(self, index: int) -> int:
        """The number of the file that sample `index` comes from (unless it is bad)."""
        return item_of(self.seed, index, len(self.paths))

    def report_bad(self, path: str | Path, reason: str) -> None:
        """Name a bad file, once; raises InputFileError if there are more than `max_bad`."""
        if str(path) in self.bad:
            return
        self.bad[str(path)] = reason
        get_logger().warning("skipped: %s", reason)
        if len(self.bad) > self.max_bad:
            raise InputFileError(
                f"{len(self.bad)} files of {self.folder} cannot be used, more than data.max_bad="
                f"{self.max_bad}; the last: {reason}"
            )

    def describe(self) -> str:
        """One line for the opening of a run."""
        captions = sum(1 for p in self.paths if sidecar(p, ".txt").exists())
        rate = f"{self.fps:g} a second" if self.fps else f"stride {self.stride}"
        return (
            f"{self.folder}: {len(self.paths)} clips, {captions} captioned, {len(self.bad)} bad; {self.frames} "
            f"frames of {self.size[0]}x{self.size[1]}, {rate}, {self.crop} crop{', mirrored' * self.flip}"
        )

    def _readable(self, paths: list[Path]) -> list[Path]:
        """The paths whose first frame and sidecars can be read; the others are reported."""
        few = len(paths) < 100  # no bar for them
        with (
            ThreadPoolExecutor(4) as pool,
            bar(len(paths), "checking clips", unit="file", rank=int(few)) as progress,
        ):
            reasons = []
            for reason in pool.map(_fault, paths):
                reasons.append(reason)
                progress.update()
        for path, reason in zip(paths, reasons, strict=True):
            if reason:
                self.report_bad(path, reason)
        good = [p for p, reason in zip(paths, reasons, strict=True) if not reason]
        if not good:
            raise InputFileError(
                f"no clip of {self.folder} can be read: {len(paths)} are bad, as {reasons[0]}"
            )
        return good

    def _clip(
        self, path: Path, start: float, place: tuple[float, float] | None, flip: bool
    ) -> Sample:
        count, rate = self._decoder.length(path)
        stride = rate / self.fps if self.fps else self.stride
        try:
            numbers = window(count, self.frames, stride, self.short, start)
        except ConfigError as error:
            raise InputFileError(f"{path} is too short: {error} (data.short=refuse)") from error
        frames = crop(self._decoder.frames(path, numbers), self.size, place, flip)
        return Sample(frames, _caption(path), _embedding(path))


def sidecar(path: Path, suffix: str) -> Path:
    """The file beside a clip that has its name and `suffix`."""
    return path.with_name((path.name if path.is_dir() else path.stem) + suffix)


def _fault(path: Path) -> str:
    """Why a clip cannot be used, or nothing."""
    try:
        with open_reader(path) as reader:
            next(iter(reader))
        _caption(path), _embedding(path)
    except InputFileError as error:
        return str(error)
    return ""


def _caption(path: Path) -> str:
    file = sidecar(path, ".txt")
    try:
        return " ".join(file.read_text(encoding="utf-8-sig").split()) if file.exists() else ""
    except (UnicodeDecodeError, OSError) as error:
        raise InputFileError(f"{file} is not a text in UTF-8: {error}") from error


def _embedding(path: Path) -> np.ndarray | None:
    file = sidecar(path, ".npy")
    if not file.exists():
        return None
    try:
        values = np.load(file, allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise InputFileError(f"{file} cannot be read as an array: {error}") from error
    flat = values.reshape(-1) if values.ndim == 2 and values.shape[0] == 1 else values
    if flat.ndim != 1 or not np.issubdtype(flat.dtype, np.floating) or not np.isfinite(flat).all():
        raise InputFileError(
            f"{file} has shape {values.shape}, {values.dtype}; an embedding is (D,) finite floats"
        )
    return flat.astype(np.float32)
