"""Cut long videos into clips for training: fixed length, optionally never over a scene cut."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from mindlong.cli.common import guarded
from mindlong.data.chop import (
    ChopOptions,
    Piece,
    Survey,
    names,
    plan,
    refuse_existing,
    survey,
    write_pieces,
)
from mindlong.data.chop_nodes import Film, index_of, write_index
from mindlong.data.chop_tree import plan_tree, write_tree
from mindlong.media.read import is_video
from mindlong.utils.errors import ConfigError, InputFileError
from mindlong.utils.progress import bar

EXAMPLES = """examples:
  python tools/chop_video.py holiday.mp4 --out clips --length 48 --scenes
  python tools/chop_video.py films/*.mp4 --out clips --length 16 --fps 8 --side 128 --dry_run

  python tools/chop_video.py films/*.mp4 --index films.json --levels 16,16
  python tools/chop_video.py film.mp4 --out tree --tree 12

--index cuts nothing: it lists which frames the runs of a hierarchy take, for infinet.index of a training.
A folder of clips made so is what data.folder of a training takes. Beside clip x.mp4 put x.txt for a caption.
exit codes: 0 done, 1 failed, 2 bad arguments, 3 bad input file"""


def parser() -> argparse.ArgumentParser:
    """The arguments, with defaults of `ChopOptions`."""
    made = argparse.ArgumentParser(
        prog="chop_video.py",
        description=__doc__,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument(
        "videos", nargs="+", type=Path, metavar="VIDEO", help="video files or folders of frames"
    )
    add = made.add_argument
    add(
        "--out",
        type=Path,
        metavar="FOLDER",
        help="where the clips go; nothing in it is overwritten",
    )
    add(
        "--index",
        type=Path,
        metavar="FILE",
        help="write an index of a hierarchy's runs instead of clips",
    )
    add(
        "--levels",
        default="16,16",
        metavar="L,L",
        help="frames of a run at each level of the index (16,16)",
    )
    add(
        "--tree",
        type=int,
        default=0,
        metavar="L",
        help="write InfiNet's nested tree: each clip divided into L, depth by depth",
    )
    add("--length", type=int, default=48, metavar="N", help="frames of a clip (48)")
    add(
        "--stride",
        type=int,
        default=0,
        metavar="N",
        help="frames from one clip's start to the next (as --length)",
    )
    add(
        "--least",
        type=int,
        default=0,
        metavar="N",
        help="keep a shorter last clip of at least N frames (0: drop it)",
    )
    add("--scenes", action="store_true", help="look for scene cuts; no clip reaches over one")
    add(
        "--fps",
        type=float,
        default=0.0,
        metavar="R",
        help="leave frames out down to R a second (0: keep all)",
    )
    add(
        "--side",
        type=int,
        default=0,
        metavar="PX",
        help="resize the shorter side to PX pixels (0: as it is)",
    )
    add(
        "--kind",
        default="mp4",
        choices=("mp4", "gif", "webm", "avi", "frames"),
        help="format of the clips (mp4)",
    )
    add("--caption", default="", metavar="TEXT", help="write TEXT beside every clip as its caption")
    add("--dry_run", action="store_true", help="print the plan and stop; only reads")
    return made


def main(argv: Sequence[str] | None = None) -> int:
    """Survey every video, print the plan, and write the clips unless `--dry_run`."""
    args = parser().parse_args(argv)
    options = ChopOptions(
        args.length, args.stride, args.least, args.scenes, args.fps, args.side, args.kind
    )
    _check_names(args.videos)
    if args.index or args.tree:
        return _index(args, options) if args.index else _tree(args, options)
    if not args.out:
        raise ConfigError("--out is missing; it names the folder for the clips")
    work = []
    for video in args.videos:
        found = _surveyed(video, options)
        work.append((video, found, plan(found, options)))
        print("\n".join(_lines(video, found, work[-1][2])))
    if not any(pieces for _, _, pieces in work):
        raise InputFileError(
            f"no video is {options.length} frames long{' between two cuts' * options.scenes}; "
            "give a smaller --length, or --least"
        )
    for video, _, pieces in work:
        refuse_existing(args.out, names(video, pieces, options))
    if args.dry_run:
        print(f"dry run: nothing is written to {args.out}")
        return 0
    written = sum(
        len(_written(video, args, found, pieces, options))
        for video, found, pieces in work
        if pieces
    )
    print(f"{written} clips in {args.out}")
    return 0


def _index(args: argparse.Namespace, options: ChopOptions) -> int:
    """Count every film's frames and write the index."""
    try:
        lengths = [int(part) for part in args.levels.split(",")]
    except ValueError:
        raise ConfigError(
            f"--levels is {args.levels!r}; it lists frames of a run, for example 16,16"
        ) from None
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
        print(f"dry run: {args.index} is not written")
        return 0
    write_index(args.index, index)
    print(f"index in {args.index}")
    return 0


def _tree(args: argparse.Namespace, options: ChopOptions) -> int:
    """Write the tree of every film."""
    if not args.out:
        raise ConfigError("--out is missing; it names the folder for the tree")
    for video in args.videos:
        frames = _surveyed(video, options).frames
        try:
            clips = plan_tree(frames, args.tree)
        except InputFileError as error:
            raise InputFileError(f"{video}: {error}") from None
        depths = max(clip.depth for clip in clips) + 1
        print(
            f"{video}: {len(clips)} clips at {depths} depths, {args.tree**depths} of {frames} frames used"
        )
        if not args.dry_run:
            with bar(args.tree**depths, f"writing {video.name}", unit="frame") as progress:
                write_tree(
                    video,
                    args.out,
                    frames,
                    args.tree,
                    "gif" if options.kind == "gif" else "mp4",
                    args.caption,
                    progress.update,
                )
    return 0


def _check_names(videos: Sequence[Path]) -> None:
    stems = [v.stem for v in videos]
    for video in videos:
        if not video.exists():
            raise InputFileError(f"{video} does not exist")
        if not is_video(video):
            raise InputFileError(f"{video} is neither a video file nor a folder of frames")
        if stems.count(video.stem) > 1:
            raise ConfigError(
                f"two videos are called {video.stem!r}; chop them into different folders"
            )


def _surveyed(video: Path, options: ChopOptions) -> Survey:
    with bar(None, f"reading {video.name}", unit="frame") as progress:
        return survey(video, options, progress.update)


def _written(
    video: Path, args: argparse.Namespace, found: Survey, pieces: list[Piece], options: ChopOptions
) -> list[Path]:
    with bar(found.read, f"writing {video.name}", unit="frame") as progress:
        return write_pieces(video, args.out, found, pieces, options, args.caption, progress.update)


def _lines(video: Path, found: Survey, pieces: list[Piece]) -> list[str]:
    used = len({n for p in pieces for n in range(p.first, p.end)})
    height, width = found.size
    cuts = ", ".join(map(str, found.scenes))
    scenes = f", {len(found.scenes)} scenes from frames {cuts}" if len(found.scenes) > 1 else ""
    return [
        f"{video}: {found.frames} frames at {found.fps:g} a second, {height}x{width}{scenes}",
        *(f"  note: {note}" for note in found.notes),
        f"  {len(pieces)} clips, {used} frames used, {found.frames - used} left over",
    ]


def command(argv: Sequence[str] | None = None) -> int:
    """The console entry: `main` with exit codes."""
    return guarded(main, argv)
