"""Measure edits of a synthetic world's clips: shape and colour as the prompt says, motion kept.

Each FOLDER is a run of the edit pipeline: its video.json names the prompts, source.* and edit-NNN.*
are read (folders of frames or GIF before lossy files). --against compares them, edit by edit, with
runs of the same sources and prompts. The film world is read where a prompt names two objects or a
camera that moves, or with --world film. With --write_clips, clips to tune on are written instead.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np

from mindlong.cli.common import ToolParser, guarded
from mindlong.data.chop_names import refuse_existing
from mindlong.data.film import FilmWorld
from mindlong.data.shapes import ShapesWorld
from mindlong.media.limits import LIMITS
from mindlong.media.read import read_video
from mindlong.media.write import write_contact_sheet, write_frames
from mindlong.scores.asked import ANY, in_limits, refuse_equal, twice, write_json
from mindlong.scores.edit_pairs import comparison
from mindlong.scores.edits import EYES, EditScore, score_edit, summary
from mindlong.scores.worlds import WORLDS, Eyes, world_of
from mindlong.utils.atomic import write_text
from mindlong.utils.errors import ConfigError, InputFileError
from mindlong.utils.text_file import read_text

SOURCES, EDITS, TILE = 2, 3, 96  # of a sheet; pixels of a frame there
KNOWN_SHAPES = (
    "circle",
    "square",
    "triangle",
)  # of clips that are written: what shipped models know
KNOWN_COLOURS = ("red", "green", "blue", "yellow")
READING = ("against", "names", "sheet", "json", "unsure")
WRITING = ("count", "frames", "size", "seed")  # of clips
BEST_FIRST = ("", ".gif", ".mp4", ".webm")  # "" is a folder of frames


def parser() -> ToolParser:
    """The arguments."""
    made = ToolParser("evaluate_edits", __doc__)
    _reading_arguments(made)
    _writing_arguments(made)
    return made


def _reading_arguments(made: ToolParser) -> None:
    """Which runs are measured, how they are read, and what is written of that."""
    made.add_argument(
        "folders", nargs="*", type=Path, metavar="FOLDER", help="runs of the edit pipeline"
    )
    made.add_argument(
        "--against",
        nargs="+",
        default=[],
        type=Path,
        metavar="FOLDER",
        help="runs of another way with the same prompts, in the same order",
    )
    made.add_argument(
        "--names",
        nargs=2,
        default=["this", "against"],
        metavar="NAME",
        help="what the two ways are called on the sheet and in the JSON",
    )
    made.add_argument(
        "--sheet",
        type=Path,
        metavar="PNG",
        help=f"draw the first {SOURCES} sources with {EDITS} edits each, of both ways with --against",
    )
    made.add_argument("--json", type=Path, metavar="FILE", help="write the numbers of every edit")
    made.add_argument(
        "--world",
        choices=tuple(WORLDS),
        help="which world is shown (as the prompts say), or written",
    )
    for name in ("shapes", "colours"):
        made.add_argument(
            f"--{name}",
            nargs="+",
            metavar="NAME",
            help=f"{name} that the reader chooses from (all of the world's), or that are written (three and four)",
        )
    made.add_argument(
        "--unsure", action="store_true", help="believe the reader also where it is not sure"
    )


def _writing_arguments(made: ToolParser) -> None:
    """Which clips are written in the place of measuring."""
    made.add_argument(
        "--write_clips",
        type=Path,
        metavar="FOLDER",
        help="write clips as folders of frames, captions beside them",
    )
    made.add_argument("--count", type=int, default=8, help="how many clips")
    made.add_argument("--frames", type=int, default=16, help="of each")
    made.add_argument("--size", type=int, default=48, help="pixels of an edge")
    made.add_argument(
        "--seed", type=int, default=1000, help="number of the first clip in the world"
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Measure the runs, or write clips."""
    made = parser()
    args = made.parse_args(argv)
    _refuse_idle(made, args)
    if args.write_clips:
        in_limits(args, {"count": (1, ANY), "frames": (1, LIMITS.frames), "seed": (0, ANY)})
        write_clips(args.write_clips, _world(args), args.count, args.seed)
        return 0
    if not args.folders:
        raise ConfigError(
            "no FOLDER is given; name runs of the edit pipeline, or --write_clips FOLDER"
        )
    refuse_equal(args.names, "ways")
    _refuse_doubles(args)
    eyes = _eyes(args)
    runs = [list(edits_of(folder, eyes)) for folder in args.folders]
    scores = [score for run in runs for score in run]
    for score in scores:
        changed, steady = "changed" if score.changed else "-", "steady" if score.steady else "-"
        print(
            f"{changed:<8} {steady:<7} correlation {score.correlation:6.3f}  distance {score.distance:5.1f}  {score.prompt}"
        )
    if args.unsure:
        print("readings count whether the reader is sure of them or not (--unsure)")
    print(summary(scores))
    others = [list(edits_of(folder, eyes)) for folder in args.against]
    if others:
        _refuse_other_sources(args.folders, args.against)
        print(comparison(runs, others))
    if args.sheet:
        write_sheet(args.sheet, args.folders, args.against, args.names)
    if args.json:
        sides = {args.names[0]: scores, args.names[1]: [s for run in others for s in run]}
        kept = {name: [asdict(s) for s in side] for name, side in sides.items()}
        write_json(args.json, kept if others else kept[args.names[0]])
    return 0


def _refuse_idle(made: ToolParser, args: argparse.Namespace) -> None:
    """Raises ConfigError where what is given has nothing to work on."""
    if args.write_clips:
        if args.folders:
            raise ConfigError("FOLDER has no effect with --write_clips; leave it out")
        made.refuse_idle(args, READING, "has no effect with --write_clips; leave it out")
        return
    made.refuse_idle(args, WRITING, "belongs to --write_clips; give --write_clips FOLDER too")
    if not args.against:
        made.refuse_idle(args, ("names",), "belongs to --against; give --against FOLDER too")


def _refuse_doubles(args: argparse.Namespace) -> None:
    """Raises ConfigError where a run is named twice, whose edits would count twice."""
    for option, folders in (("FOLDER", args.folders), ("--against", args.against)):
        double = twice([folder.resolve() for folder in folders])
        if double is not None:
            raise ConfigError(f"{option} names {double} twice, whose edits would count twice")


def _refuse_other_sources(folders: Sequence[Path], against: Sequence[Path]) -> None:
    """Raises ConfigError where two runs that are to be compared edited other videos."""
    for a, b in zip(folders, against, strict=False):
        if not np.array_equal(_video(a, "source"), _video(b, "source")):
            raise ConfigError(f"{a} and {b} edit different videos; name the runs in the same order")


def _world(args: argparse.Namespace) -> ShapesWorld | FilmWorld:
    """The world of the clips that are written, one object each."""
    size = (args.size, args.size)
    known = (tuple(args.shapes or KNOWN_SHAPES), tuple(args.colours or KNOWN_COLOURS))
    if args.world == "film":
        return FilmWorld(size, args.frames, *known, objects=1)
    return ShapesWorld(size, args.frames, *known)


def _eyes(args: argparse.Namespace) -> Eyes:
    """Who reads the runs. Raises ConfigError where a prompt names what is not chosen from."""
    prompts = [p for folder in (*args.folders, *args.against) for p in _prompts(folder)]
    world = world_of(prompts, args.world)
    shapes = world.known(args.shapes or world.shapes)
    colours = world.known_colours(args.colours or EYES.colours)
    if args.shapes or args.colours:
        world.check_seen(prompts, shapes, colours)
    return Eyes(world, shapes, colours, args.unsure)


def write_clips(folder: Path, world: ShapesWorld | FilmWorld, count: int, seed: int) -> None:
    """Clips `seed`, `seed` + 1, ... of a world as folder/clip-NNN and folder/clip-NNN.txt.

    Raises:
        UserError: one of them is there already; nothing is written then.
    """
    names = [f"clip-{i:03d}" for i in range(count)]
    wanted = [target for name in names for target in (name, f"{name}.txt")]
    refuse_existing(folder, wanted, "--write_clips")
    for i, name in enumerate(names):
        clip = world.sample(seed + i)
        write_frames(folder / name, clip.frames_FHWC)
        write_text(folder / f"{name}.txt", clip.caption)


def edits_of(folder: Path, eyes: Eyes = EYES) -> Iterator[EditScore]:
    """The scores of a run of the edit pipeline."""
    prompts = _prompts(folder)
    source = eyes.read(_video(folder, "source"))
    for i, prompt in enumerate(prompts):
        yield score_edit(source, _video(folder, f"edit-{i:03d}"), prompt, eyes)


def write_sheet(
    path: Path, folders: Sequence[Path], against: Sequence[Path], names: Sequence[str]
) -> None:
    """Of each of the first runs the source and its first edits, those of `against` below them."""
    rows, heads = [], []
    for number, folder in enumerate(folders[:SOURCES]):
        rows.append(_video(folder, "source"))
        heads.append("source")
        sides = [folder, *against[number : number + 1]]
        for i, prompt in enumerate(_prompts(folder)[:EDITS]):
            for name, side in zip(names, sides, strict=False):
                rows.append(_video(side, f"edit-{i:03d}"))
                heads.append(f"{name}: {prompt}" if against else prompt)
    write_contact_sheet(path, [_small(row) for row in rows], heads)


def _small(frames_FHWC: np.ndarray) -> np.ndarray:
    """Without the enlargement that `scale` made, or nearly."""
    step = max(1, frames_FHWC.shape[2] // TILE)
    return frames_FHWC[:, ::step, ::step]


def _prompts(folder: Path) -> list[str]:
    try:
        rows = json.loads(read_text(folder / "video.json"))["prompts"]
        prompts = [row["prompt"] for row in rows]
        if not all(isinstance(prompt, str) for prompt in prompts):
            raise TypeError("a prompt is no text")
        return prompts
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputFileError(
            f"{folder} is no finished run of the edit pipeline: video.json cannot be read ({error})"
        ) from None


def _video(folder: Path, stem: str) -> np.ndarray:
    for suffix in BEST_FIRST:
        if (folder / f"{stem}{suffix}").exists():
            return read_video(folder / f"{stem}{suffix}")[0]
    raise InputFileError(
        f"{folder} has no {stem} as a folder of frames or as {', '.join(BEST_FIRST[1:])}"
    )


def command(argv: Sequence[str] | None = None) -> int:
    """The console entry: `main` with exit codes."""
    return guarded(main, argv)
