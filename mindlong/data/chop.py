"""Cutting a long video into clips: where the cuts fall is planned first, the frames then stream
through once more.

A plan is a list of pieces in numbers of kept frames; making it needs no output folder, so a dry run
prints it.
"""

from __future__ import annotations

import contextlib
import csv
import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from mindlong.data.chop_names import caption_name, names, outputs, refuse_existing, stem_of
from mindlong.data.transforms import covering_size, resize
from mindlong.media.colours import Colour
from mindlong.media.limits import LIMITS
from mindlong.media.read import VideoReader, open_reader
from mindlong.media.timing import FASTEST, SLOWEST
from mindlong.media.write import FrameFolder, VideoFile, open_writer, safe_name
from mindlong.utils.atomic import write_text
from mindlong.utils.errors import ConfigError, InputFileError
from mindlong.utils.shown import shown

MOST_OPEN = 16  # overlapping clips are encoded side by side, each by a process of its own
ROUNDED = 0.0006  # seconds: containers round times to a thousandth
LEAST_CUT = 18.0  # mean change of a pixel, of 255, below which nothing is a cut
Notice = Callable[[int], object]


@dataclass(frozen=True)
class ChopOptions:
    """What to cut. Lengths are in frames after `fps` (0: the video's own; frames are left out,
    never made up).

    A clip shorter than `length` is kept if it has `least` frames (0: never). `side` is the shorter
    side in pixels (0: as it is). `kind` is mp4, gif, webm, avi or frames. `background` is seen
    where the video is transparent (None: white).
    """

    length: int = 48
    stride: int = 0
    least: int = 0
    scenes: bool = False
    fps: float = 0.0
    side: int = 0
    kind: str = "mp4"
    background: Colour | None = None

    def __post_init__(self):
        if self.length < 1 or self.stride < 0 or self.least < 0 or self.fps < 0 or self.side < 0:
            raise ConfigError(
                f"length {self.length}, stride {self.stride}, least {self.least}, fps {self.fps:g} or "
                f"side {self.side} is too small; length is at least 1, the others 0"
            )
        if self.side > LIMITS.side:
            raise ConfigError(
                f"side is {self.side}; at most {LIMITS.side} pixels can be read again"
            )
        if self.stride and self.length > MOST_OPEN * self.stride:
            raise ConfigError(
                f"clips of {self.length} frames every {self.stride} overlap more than {MOST_OPEN} times; "
                "training takes random windows of longer clips anyway"
            )


@dataclass(frozen=True)
class Piece:
    """A clip: frames first..end-1 of the kept frames, inside scene number `scene`."""

    first: int
    end: int
    scene: int


@dataclass(frozen=True)
class Survey:
    """What one reading of a video found: kept frames, rate of the kept frames, size as written,
    first frames of scenes.
    """

    frames: int
    fps: float
    size: tuple[int, int]
    scenes: tuple[int, ...]
    notes: tuple[str, ...] = ()
    read: int = 0  # frames of the file, before any were left out
    times: tuple[float, ...] = ()  # of the kept frames, in seconds; () where even spacing is taken


def survey(path: Path, options: ChopOptions, notice: Notice = lambda n: None) -> Survey:
    """Read `path` to its end; `notice` is called with 1 for every frame. Raises InputFileError if
    it cannot be read.
    """
    changes: list[float] = []
    times: list[float] = []
    with open_reader(path, background=options.background, say=False) as reader:
        before = None
        for time, frame in _kept(reader, options.fps, notice):
            small = cv2.resize(frame, (32, 32), interpolation=cv2.INTER_AREA).astype(np.float32)
            changes.append(0.0 if before is None else float(np.abs(small - before).mean()))
            times.append(time)
            before = small
    cuts = scene_cuts(np.array(changes)) if options.scenes else []
    return Survey(
        len(changes),
        _kept_rate(reader, len(changes), options.fps),
        _written_size(reader.size, options.side),
        (0, *cuts),
        (*reader.notes, *_unreachable(reader.fps, options.fps)),
        reader.count,
        tuple(times) if reader.variable_rate and _rising(times) else (),
    )


def _rising(times: Sequence[float]) -> bool:
    """Whether no frame is shown with or before the one before it; else even spacing is assumed."""
    return bool((np.diff(times) > 0).all())


def _kept_rate(reader: VideoReader, kept: int, fps: float) -> float:
    """Frames a second of the kept frames: the rate asked for, or what keeps the length of an uneven
    video.
    """
    if not fps or kept == reader.count:
        return reader.fps
    return kept * reader.fps / reader.count if reader.variable_rate else fps


def _unreachable(native: float, fps: float) -> tuple[str, ...]:
    said = f"it has {native:g} frames a second; {fps:g} cannot be reached by leaving frames out"
    return (said,) if fps > native else ()


def scene_cuts(changes: np.ndarray) -> list[int]:
    """First frames of new scenes, from the mean change (of 255) of every frame against the one
    before.

    A cut stands out from the 16 frames around it; a pan or a waving tree does not.
    """
    cuts = []
    for t in np.flatnonzero(changes > LEAST_CUT):
        around = np.concatenate([changes[max(t - 8, 1) : t], changes[t + 1 : t + 9]])
        if around.size == 0 or changes[t] > 3.0 * float(np.median(around)) + 6.0:
            cuts.append(int(t))
    return cuts


def plan(found: Survey, options: ChopOptions) -> list[Piece]:
    """The pieces, in order. They never reach over a scene cut; what is left over at the end of a
    scene is not used.
    """
    stride = options.stride or options.length
    pieces = []
    for scene, (first, end) in enumerate(
        zip(found.scenes, (*found.scenes[1:], found.frames), strict=True)
    ):
        starts = range(first, end, stride)
        pieces += [
            Piece(s, min(s + options.length, end), scene)
            for s in starts
            if _kept_piece(s, end, first, options)
        ]
    return pieces


def _kept_piece(start: int, end: int, first: int, options: ChopOptions) -> bool:
    if start + options.length <= end:
        return True
    overlapping = (
        options.stride and start > first and start + options.length - options.stride >= end
    )
    return bool(options.least) and end - start >= options.least and not overlapping


def rate_of(piece: Piece, found: Survey) -> float:
    """Frames a second of a piece: of an uneven video its own mean, so that it keeps its length."""
    count = piece.end - piece.first
    if not found.times or count < 2:
        return found.fps
    times = found.times[piece.first : piece.end + 1]
    return float(np.clip((len(times) - 1) / (times[-1] - times[0]), SLOWEST, FASTEST))


def write_pieces(
    path: Path,
    folder: Path,
    found: Survey,
    pieces: Sequence[Piece],
    options: ChopOptions,
    caption: str = "",
    notice: Notice = lambda n: None,
    name: str = "",
) -> list[Path]:
    """Write the pieces of `path` to `folder`, beside them their captions and a table
    `<name>_clips.csv`; returns the clips.

    Args:
        name: what the clips are called; empty: as the video.

    Raises UserError if a file exists, InputFileError if the video changed since the survey.
    """
    name = name or safe_name(stem_of(path))
    targets = [folder / clip for clip in names(name, len(pieces), options.kind)]
    refuse_existing(folder, outputs(name, len(pieces), options.kind, bool(caption)))
    folder.mkdir(parents=True, exist_ok=True)
    begin: dict[int, list[tuple[Piece, Path]]] = {p.first: [] for p in pieces}
    for piece, target in zip(pieces, targets, strict=True):
        begin[piece.first].append((piece, target))
    with contextlib.ExitStack() as stack:
        _stream(path, found, begin, options, stack, notice)
    if caption:
        for target in targets:
            write_text(target.with_name(caption_name(target.name)), caption + "\n")
    write_text(folder / f"{name}_clips.csv", _table(pieces, targets, found))
    return targets


def _stream(
    path: Path,
    found: Survey,
    begin: dict[int, list[tuple[Piece, Path]]],
    options: ChopOptions,
    stack: contextlib.ExitStack,
    notice: Notice,
) -> None:
    """One pass over the kept frames; a clip's file is opened at its first frame and finished at its
    last.
    """
    running: list[tuple[Piece, contextlib.ExitStack, VideoFile | FrameFolder]] = []
    with open_reader(path, background=options.background, say=False) as reader:
        for number, (_, frame) in enumerate(_kept(reader, options.fps, notice)):
            for piece, target in begin.get(number, ()):
                mine = stack.enter_context(contextlib.ExitStack())
                running.append(
                    (piece, mine, mine.enter_context(open_writer(target, rate_of(piece, found))))
                )
            if running:
                frame = resize(frame, found.size)
            for _, _, writer in running:
                writer.append(frame)
            for _, mine, _ in (r for r in running if r[0].end == number + 1):
                mine.close()
            running = [r for r in running if r[0].end > number + 1]
        if running:
            raise InputFileError(
                f"{shown(path)} ends before frame {running[0][0].end}; it has changed since it was surveyed"
            )


def _kept(reader: VideoReader, fps: float, notice: Notice) -> Iterator[tuple[float, np.ndarray]]:
    """When it is shown, and the frame, of those that remain at `fps`: of each 1/fps seconds the
    first.
    """
    part = -1
    for number, frame in enumerate(reader):
        notice(1)
        time = reader.clock.time(number)
        before, part = part, int((time + ROUNDED) * fps) if fps else number
        if part > before:
            yield time, frame


def _written_size(size: tuple[int, int], side: int) -> tuple[int, int]:
    return covering_size(size, (side, side)) if side else size


def _table(pieces: Sequence[Piece], targets: Sequence[Path], found: Survey) -> str:
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(["clip", "scene", "first_frame", "frames", "start_s"])
    for piece, target in zip(pieces, targets, strict=True):
        start = f"{found.times[piece.first] if found.times else piece.first / found.fps:.3f}"
        rows.writerow([target.name, piece.scene, piece.first, piece.end - piece.first, start])
    return text.getvalue()
