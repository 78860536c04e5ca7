"""The nested tree of clips that InfiNet's video_chop.py makes, for tools that expect it: at depth
d, L^d clips of equal length.

Clip i of depth d covers frames i*L^(D-d) .. (i+1)*L^(D-d) - 1 of the first L^D and lies at
depth_0/.../depth_d/part_{i // L}/subset_{i % L} (video_chop.py of kabachuha/InfiNet at 647ef85).
Unlike there the film stays where it is, the clips of all depths are there, a film that is too short
is an error, and frames stream: one clip a depth is open.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from mindlong.data.chop_names import stem_of
from mindlong.media.colours import Colour
from mindlong.media.read import open_reader
from mindlong.media.write import open_writer, safe_name
from mindlong.utils.atomic import write_text
from mindlong.utils.errors import ConfigError, InputFileError, UserError
from mindlong.utils.shown import shown


@dataclass(frozen=True)
class TreeClip:
    """One clip: frames first..end-1, and where it lies below the scenario."""

    depth: int
    first: int
    end: int
    place: Path


def depths_of(frames: int, length: int) -> int:
    """D, the largest power of `length` that `frames` hold; 0 where not more than `length` are
    there, as in the original.
    """
    if length < 2:
        raise ConfigError(f"tree is {length}; a clip is divided into at least 2")
    depths, size = 0, length
    while frames > length and size <= frames:
        depths, size = depths + 1, size * length
    return depths


def plan_tree(frames: int, length: int) -> list[TreeClip]:
    """All clips, depth by depth. Raises InputFileError where the film is too short for one."""
    depths = depths_of(frames, length)
    if not depths:
        raise InputFileError(
            f"it has {frames} frames; a tree of {length} needs at least {length + 1}"
        )
    return [clip for depth in range(depths) for clip in _depth(depth, depths, length)]


def _depth(depth: int, depths: int, length: int) -> Iterator[TreeClip]:
    span = length ** (depths - depth)
    folder = Path(*(f"depth_{d}" for d in range(depth + 1)))
    for i in range(length**depth):
        yield TreeClip(
            depth, i * span, (i + 1) * span, folder / f"part_{i // length}" / f"subset_{i % length}"
        )


def write_tree(
    film: Path,
    out: Path,
    frames: int,
    length: int,
    kind: str = "mp4",
    caption: str = "",
    notice: Callable[[int], object] = lambda n: None,
    name: str = "",
    fps: float = 0.0,
    background: Colour | None = None,
) -> list[Path]:
    """Write the clips to out/NAME/scenario_0, beside each its caption (an empty file without one);
    returns the clips.

    Args:
        name: empty: as the film. fps: of the clips; 0: as the film's header has it.

    Raises:
        InputFileError: too short, or unreadable. UserError: the folder has files already; nothing
            is overwritten.
    """
    root = root_of(out, name or safe_name(stem_of(film)))
    clips = plan_tree(frames, length)
    with (
        contextlib.ExitStack() as stack,
        open_reader(film, background=background, say=False) as reader,
    ):
        _stream(reader, fps or reader.fps, root, clips, kind, stack, notice)
    for clip in clips:
        write_text(root / clip.place.with_suffix(".txt"), caption + "\n" if caption else "")
    return [root / clip.place.with_suffix(f".{kind}") for clip in clips]


def root_of(out: Path, name: str) -> Path:
    """Where the tree of a film goes. Raises UserError where something is there already."""
    root = out / name / "scenario_0"
    for folder in (out, out / name):
        if folder.exists() and not folder.is_dir():
            raise UserError(f"{shown(folder)} is no folder; give another --out")
    if root.exists() and (not root.is_dir() or any(root.iterdir())):
        raise UserError(
            f"{shown(root)} exists, and nothing is overwritten; give another --out or remove it"
        )
    return root


def _stream(
    reader,
    fps: float,
    root: Path,
    clips: list[TreeClip],
    kind: str,
    stack: contextlib.ExitStack,
    notice: Callable[[int], object],
) -> None:
    begin: dict[int, list[TreeClip]] = {}
    for clip in clips:
        begin.setdefault(clip.first, []).append(clip)
    last, running, number = max(clip.end for clip in clips), [], -1
    for number, frame in enumerate(reader):
        if number == last:
            return
        notice(1)
        for clip in begin.get(number, ()):
            mine = stack.enter_context(contextlib.ExitStack())
            running.append(
                (
                    clip,
                    mine,
                    mine.enter_context(open_writer(root / clip.place.with_suffix(f".{kind}"), fps)),
                )
            )
        for clip, mine, writer in running:
            writer.append(frame)
            if clip.end == number + 1:
                mine.close()
        running = [entry for entry in running if entry[0].end > number + 1]
    if running:
        raise InputFileError(
            f"the film ends after frame {number}; it had {last} when it was read first"
        )
