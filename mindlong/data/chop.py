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

from mindlong.data.transforms import covering_size, resize
from mindlong.media.read import open_reader
from mindlong.media.write import open_writer, safe_name
from mindlong.utils.atomic import write_text
from mindlong.utils.errors import ConfigError, InputFileError, UserError

MOST_OPEN = 16  # overlapping clips are encoded side by side, each by a process of its own
LEAST_CUT = 18.0  # mean change of a pixel, of 255, below which nothing is a cut
Notice = Callable[[int], None]


@dataclass(frozen=True)
class ChopOptions:
    """What to cut. Lengths are in frames after `fps` (0: the video's own; frames are left out,
    never made up).

    A clip shorter than `length` is kept if it has `least` frames (0: never). `side` is the shorter
    side in pixels (0: as it is). `kind` is mp4, gif, webm, avi or frames.
    """

    length: int = 48
    stride: int = 0
    least: int = 0
    scenes: bool = False
    fps: float = 0.0
    side: int = 0
    kind: str = "mp4"

    def __post_init__(self):
        if self.length < 1 or self.stride < 0 or self.least < 0 or self.fps < 0 or self.side < 0:
            raise ConfigError(
                f"length {self.length}, stride {self.stride}, least {self.least}, fps {self.fps:g} or "
                f"side {self.side} is too small; length is at least 1, the others 0"
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


def survey(path: Path, options: ChopOptions, notice: Notice = lambda n: None) -> Survey:
    """Read `path` to its end; `notice` is called with 1 for every frame. Raises InputFileError if
    it cannot be read.
    """
    changes, read = [], 0

    def count(frames: int) -> None:
        nonlocal read
        read += frames
        notice(frames)

    with open_reader(path) as reader:
        before = None
        for frame in _kept(reader, reader.fps, options.fps, count):
            small = cv2.resize(frame, (32, 32), interpolation=cv2.INTER_AREA).astype(np.float32)
            changes.append(0.0 if before is None else float(np.abs(small - before).mean()))
            before = small
        fps, notes, size = reader.fps, reader.notes, reader.size
    kept_rate = min(fps, options.fps) if options.fps else fps
    if options.fps > fps:
        notes = [
            *notes,
            f"it has {fps:g} frames a second; {options.fps:g} cannot be reached by leaving frames out",
        ]
    cuts = scene_cuts(np.array(changes)) if options.scenes else []
    return Survey(
        len(changes), kept_rate, _written_size(size, options.side), (0, *cuts), tuple(notes), read
    )


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


def names(path: Path, pieces: Sequence[Piece], options: ChopOptions) -> list[str]:
    """File (or, for `frames`, folder) names of the pieces."""
    suffix = "" if options.kind == "frames" else f".{options.kind}"
    return [f"{safe_name(path.stem)}_{i:05d}{suffix}" for i in range(len(pieces))]


def refuse_existing(folder: Path, wanted: Sequence[str]) -> None:
    """Raise UserError if one of the files to be written is there already."""
    for name in wanted:
        if (folder / name).exists():
            raise UserError(
                f"{folder / name} exists, and nothing is overwritten; give another --out or remove it"
            )


def write_pieces(
    path: Path,
    folder: Path,
    found: Survey,
    pieces: Sequence[Piece],
    options: ChopOptions,
    caption: str = "",
    notice: Notice = lambda n: None,
) -> list[Path]:
    """Write the pieces of `path` to `folder`, beside them their captions and a table
    `<name>_clips.csv`; returns the clips.

    Raises UserError if a file exists, InputFileError if the video changed since the survey.
    """
    targets = [folder / name for name in names(path, pieces, options)]
    table = folder / f"{safe_name(path.stem)}_clips.csv"
    refuse_existing(folder, [t.name for t in targets] + [table.name])
    folder.mkdir(parents=True, exist_ok=True)
    begin = {p.first: [] for p in pieces}
    for piece, target in zip(pieces, targets, strict=True):
        begin[piece.first].append((piece, target))
    with contextlib.ExitStack() as stack:
        _stream(path, found, begin, options, stack, notice)
    if caption:
        for target in targets:
            write_text(target.with_name(target.stem + ".txt"), caption + "\n")
    write_text(table, _table(pieces, targets, found))
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
    running: list[tuple[Piece, contextlib.ExitStack, object]] = []
    with open_reader(path) as reader:
        for number, frame in enumerate(_kept(reader, reader.fps, options.fps, notice)):
            for piece, target in begin.get(number, ()):
                mine = stack.enter_context(contextlib.ExitStack())
                running.append((piece, mine, mine.enter_context(open_writer(target, found.fps))))
            if running:
                frame = resize(frame, found.size)
            for _, _, writer in running:
                writer.append(frame)
            for _, mine, _ in (r for r in running if r[0].end == number + 1):
                mine.close()
            running = [r for r in running if r[0].end > number + 1]
        if running:
            raise InputFileError(
                f"{path} ends before frame {running[0][0].end}; it has changed since it was surveyed"
            )


def _kept(frames, native: float, fps: float, notice: Notice) -> Iterator[np.ndarray]:
    """The frames that remain at `fps`: of each 1/fps seconds the first."""
    share = min(fps / native, 1.0) if fps else 1.0
    for number, frame in enumerate(frames):
        notice(1)
        if number == 0 or int(number * share + 1e-9) > int((number - 1) * share + 1e-9):
            yield frame


def _written_size(size: tuple[int, int], side: int) -> tuple[int, int]:
    return covering_size(size, (side, side)) if side else size


def _table(pieces: Sequence[Piece], targets: Sequence[Path], found: Survey) -> str:
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(["clip", "scene", "first_frame", "frames", "start_s"])
    for piece, target in zip(pieces, targets, strict=True):
        start = f"{piece.first / found.fps:.3f}"
        rows.writerow([target.name, piece.scene, piece.first, piece.end - piece.first, start])
    return text.getvalue()
