"""Cut long videos into clips for training: fixed length, optionally never over a scene cut."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mindlong.cli.chop_arguments import parser, refuse_idle
from mindlong.cli.common import guarded
from mindlong.data.chop import (
    ChopOptions,
    Piece,
    Survey,
    plan,
    survey,
    write_pieces,
)
from mindlong.data.chop_names import outputs, refuse_existing, stem_of
from mindlong.data.chop_nodes import Film, index_of, refuse_foreign, write_index
from mindlong.data.chop_tree import plan_tree, root_of, write_tree
from mindlong.media.colours import parse_colour
from mindlong.media.formats import foreign, head_of, why_unreadable
from mindlong.media.read import is_video
from mindlong.media.write import distinct_names, safe_name
from mindlong.utils.errors import ConfigError, InputFileError, UserError
from mindlong.utils.progress import bar
from mindlong.utils.shown import shown


def main(argv: Sequence[str] | None = None) -> int:
    """Survey every video, print the plan, and write the clips unless `--dry_run`."""
    args = parser(__doc__).parse_args(argv)
    refuse_idle(args)
    options = ChopOptions(
        args.length,
        args.stride,
        args.least,
        args.scenes,
        args.fps,
        args.side,
        args.kind,
        parse_colour(args.alpha_background, "--alpha_background"),
    )
    _check_videos(args.videos)
    try:
        if args.index:
            return _index(args, options)
        if args.tree:
            args.out = args.out or Path()
            return _tree(args, options)
        if not args.out:
            raise ConfigError("--out is missing; it names the folder for what is written")
        return _clips(args, options)
    except OSError as error:
        where = args.index or args.out
        raise UserError(f"{shown(where)} cannot be written: {error.strerror or error}") from error


@dataclass(frozen=True)
class Work:
    """A video, what its clips are called, and where they are cut."""

    video: Path
    name: str
    found: Survey
    pieces: list[Piece]


def _clips(args: argparse.Namespace, options: ChopOptions) -> int:
    """Survey every video, print the plan, and write the clips once all are known to have room."""
    work = []
    for video, name in zip(args.videos, _names(args.videos), strict=True):
        found = _surveyed(video, options)
        work.append(Work(video, name, found, plan(found, options)))
        print("\n".join(_lines(work[-1])))
    work = [w for w in work if w.pieces]
    if not work:
        raise InputFileError(
            f"no video is {options.length} frames long{' between two cuts' * options.scenes}; "
            "give a smaller --length, or --least"
        )
    caption = bool(args.caption)
    refuse_existing(
        args.out, [o for w in work for o in outputs(w.name, len(w.pieces), options.kind, caption)]
    )
    if args.dry_run:
        print(f"dry run: nothing is written to {shown(args.out)}")
        return 0
    written = sum(len(_written(w, args, options)) for w in work)
    print(f"{written} clips in {shown(args.out)}")
    return 0


def _names(videos: Sequence[Path]) -> list[str]:
    """What the clips of each video are called; said where it is not what the video is called."""
    stems = [stem_of(video) for video in videos]
    found = distinct_names(stems)
    for video, plain, name in zip(videos, map(safe_name, stems), found, strict=True):
        if name != plain:
            print(f"{shown(video)}: its clips are called {name}, as {plain} is taken")
    return found


def _index(args: argparse.Namespace, options: ChopOptions) -> int:
    """Count every film's frames and write the index."""
    try:
        lengths = [int(part) for part in args.levels.split(",")]
    except ValueError:
        raise ConfigError(
            f"--levels is {args.levels!r}; it lists frames of a run, for example 16,16"
        ) from None
    refuse_foreign(args.index)
    films = [Film(video, _surveyed(video, options).frames) for video in args.videos]
    index, short = index_of(films, lengths, args.index.absolute().parent)
    for sentence in short:
        print(f"  note: {sentence}")
    counts = [
        sum(node["level"] == k for film in index["films"] for node in film["nodes"])
        for k in range(len(lengths))
    ]
    print(f"{len(index['films'])} films, nodes by level: {', '.join(map(str, counts))}")
    if args.dry_run:
        print(f"dry run: {shown(args.index)} is not written")
        return 0
    write_index(args.index, index)
    print(f"index in {shown(args.index)}")
    return 0


def _tree(args: argparse.Namespace, options: ChopOptions) -> int:
    """Write the tree of every film, once all are known to have room."""
    kind = "gif" if options.kind == "gif" else "mp4"
    work = []
    for video, name in zip(args.videos, _names(args.videos), strict=True):
        root_of(args.out, name)
        found = _surveyed(video, options)
        try:
            clips = plan_tree(found.read, args.tree)
        except InputFileError as error:
            raise InputFileError(f"{shown(video)}: {error}") from None
        depths = max(clip.depth for clip in clips) + 1
        work.append((video, name, found, args.tree**depths))
        print(
            f"{shown(video)}: {len(clips)} clips at {depths} depths, {args.tree**depths} of {found.read} "
            "frames used"
        )
        print("".join(f"  note: {note}\n" for note in found.notes), end="")
    for video, name, found, used in [] if args.dry_run else work:
        with bar(used, f"writing {shown(video.name)}", unit="frame") as progress:
            write_tree(
                video,
                args.out,
                found.read,
                args.tree,
                kind,
                args.caption,
                progress.update,
                name,
                found.fps,
                options.background,
            )
    return 0


def _check_videos(videos: Sequence[Path]) -> None:
    for video in videos:
        try:
            os.scandir(video).close() if video.is_dir() else os.stat(video)
        except OSError as error:
            raise InputFileError(why_unreadable(video, error)) from error
        if not is_video(video) and not _may_be_one(video):
            raise InputFileError(f"{shown(video)} is neither a video file nor a folder of frames")
        if videos.count(video) > 1:
            raise ConfigError(
                f"two videos are called {shown(stem_of(video))!r}; each is chopped once"
            )


def _may_be_one(video: Path) -> bool:
    """Whether a file without a video's suffix could be one all the same."""
    try:
        return video.is_file() and not foreign(head_of(video), video.suffix.lower())
    except InputFileError:
        return False


def _surveyed(video: Path, options: ChopOptions) -> Survey:
    with bar(None, f"reading {shown(video.name)}", unit="frame") as progress:
        return survey(video, options, progress.update)


def _written(work: Work, args: argparse.Namespace, options: ChopOptions) -> list[Path]:
    with bar(work.found.read, f"writing {shown(work.video.name)}", unit="frame") as progress:
        return write_pieces(
            work.video,
            args.out,
            work.found,
            work.pieces,
            options,
            args.caption,
            progress.update,
            work.name,
        )


def _lines(work: Work) -> list[str]:
    found, pieces = work.found, work.pieces
    used = len({n for p in pieces for n in range(p.first, p.end)})
    height, width = found.size
    cuts = ", ".join(map(str, found.scenes))
    scenes = f", {len(found.scenes)} scenes from frames {cuts}" if len(found.scenes) > 1 else ""
    return [
        f"{shown(work.video)}: {found.frames} frames at {found.fps:g} a second, {height}x{width}{scenes}",
        *(f"  note: {note}" for note in found.notes),
        f"  {len(pieces)} clips, {used} frames used, {found.frames - used} left over",
    ]


def command(argv: Sequence[str] | None = None) -> int:
    """The console entry: `main` with exit codes."""
    return guarded(main, argv)
