"""Measure long videos of a synthetic world: is it one object throughout, do joins show, is its path
smooth?
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from mindlong.cli.common import ToolParser, guarded
from mindlong.cli.evaluate_shapes import read_prompts, sample_files
from mindlong.data.shapes import SHAPES
from mindlong.media.read import read_video
from mindlong.media.sheet import sampled, write_contact_sheet
from mindlong.scores.asked import ANY, in_limits, refuse_equal, write_json
from mindlong.scores.long_plot import plot
from mindlong.scores.long_score import LongScore, score, table
from mindlong.scores.worlds import WORLDS, World, world_of
from mindlong.utils.errors import ConfigError, InputFileError
from mindlong.utils.needed import needed
from mindlong.utils.progress import bar

EXAMPLES = """examples:
  python tools/evaluate_long.py outputs/0003 --joins 15
  python tools/evaluate_long.py ours/0001 base/0001 clips/0001 \\
      --joins 15 0 16 --names ours base clips --plot plot.png

FOLDER is what infer.py wrote: videos in the order of the prompts in its video.json. --joins is the
number of frames from one join to the next: 15 for runs of 16 frames that share their ends. The film
world is read where a caption names two objects or a camera that moves, or with --world film. With
several folders a table has a line for each; --sheet then shows the first video of each.
exit codes: 0 done, 1 failed, 2 bad arguments, 3 bad input file"""
FIGURES = {
    "constant": "one object as asked throughout",
    "coloured": "its colour throughout",
    "agreeing": "windows of 16 frames right",
    "join": "change at joins / median",
    "worst": "worst join",
    "bend": "bend of the path, px",
    "moved": "way, px",
    "background": "change of the background a frame, of 255",
}
COUNTED = ("constant", "coloured")  # rates of videos, with intervals
ROWS, COLUMNS = 8, 12  # of a sheet


def parser() -> argparse.ArgumentParser:
    """The arguments."""
    made = ToolParser("evaluate_long", __doc__, EXAMPLES)
    made.add_argument("folders", type=Path, nargs="+", metavar="FOLDER", help="the videos")
    made.add_argument(
        "--joins",
        type=int,
        nargs="+",
        default=[15],
        metavar="N",
        help="frames from one join to the next (15), one for all folders or one each; 0: none",
    )
    made.add_argument(
        "--names", nargs="+", metavar="NAME", help="of the folders, for table and plot"
    )
    made.add_argument(
        "--prompts", type=Path, metavar="FILE", help="JSON with the prompts (FOLDER/video.json)"
    )
    made.add_argument(
        "--shapes",
        nargs="+",
        default=["circle", "square", "triangle"],
        choices=list(SHAPES),
        metavar="NAME",
    )
    made.add_argument(
        "--colours", nargs="+", default=["red", "green", "blue", "yellow"], metavar="NAME"
    )
    made.add_argument(
        "--world", choices=tuple(WORLDS), help="which world is shown (as the prompts say)"
    )
    made.add_argument("--json", type=Path, metavar="FILE", help="write every video's numbers")
    made.add_argument(
        "--plot",
        type=Path,
        metavar="PNG",
        help="draw the first video of each folder: changes, and the object's way",
    )
    made.add_argument(
        "--sheet",
        type=Path,
        metavar="PNG",
        help=f"draw a contact sheet: the first {ROWS} videos of the folder, or the first of each",
    )
    return made


def main(argv: Sequence[str] | None = None) -> int:
    """Read the videos, print a line each and the summary; write what is asked for."""
    args = parser().parse_args(argv)
    names, joins = _ways(args)
    prompts = [read_prompts(args.prompts or folder / "video.json") for folder in args.folders]
    world = world_of([prompt for listed in prompts for prompt in listed], args.world)
    look = (world.known(args.shapes), world.known_colours(args.colours))
    world.check_seen(list(itertools.chain(*prompts)), *look)  # before the videos are read
    record: dict[str, dict[str, Any]] = {}
    first: list[tuple[str, np.ndarray]] = []
    rows: list[tuple[str, np.ndarray]] = []
    for folder, listed, name, every in zip(args.folders, prompts, names, joins, strict=True):
        scores, frames, shown = _measured(folder, listed, every, look, world)
        record[name] = {"summary": table(scores), "videos": [asdict(s) for s in scores]}
        first.append((name, frames))
        alone = len(args.folders) == 1
        rows += shown if alone else [(f"{name}: {shown[0][0]}", shown[0][1])]
    summaries = {name: entry["summary"] for name, entry in record.items()}
    print(
        markdown(summaries)
        if len(names) > 1
        else ", ".join(f"{k} {v:.3g}" for k, v in summaries[names[0]].items())
    )
    if args.json:
        write_json(args.json, record if len(names) > 1 else record[names[0]])
    if args.plot:
        plot(args.plot, first, *look, world)
    if args.sheet:
        write_contact_sheet(args.sheet, [r[1] for r in rows], [r[0] for r in rows], columns=COLUMNS)
    return 0


def _ways(args: argparse.Namespace) -> tuple[list[str], list[int]]:
    """The name of every folder, and its frames from join to join. Raises ConfigError where there
    is not one each, names are equal or frames below 0.
    """
    names = args.names or [str(folder) for folder in args.folders]
    joins = args.joins * len(args.folders) if len(args.joins) == 1 else args.joins
    if not len(names) == len(joins) == len(args.folders):
        raise ConfigError(
            f"{len(args.folders)} folders, {len(joins)} joins and {len(names)} names; one each is needed"
        )
    refuse_equal(names, "folders")
    in_limits(args, {"joins": (0, ANY)})
    return names, joins


def _measured(
    folder: Path,
    prompts: Sequence[str],
    every: int,
    look: tuple[tuple[str, ...], tuple[str, ...]],
    world: World,
) -> tuple[list[LongScore], np.ndarray, list[tuple[str, np.ndarray]]]:
    """The scores of a folder's videos, a line printed for each; the frames of the first; of the
    first `ROWS` the caption and the frames that a sheet shows. Raises InputFileError where a video
    cannot be measured.
    """
    scores: list[LongScore] = []
    first: np.ndarray | None = None
    shown: list[tuple[str, np.ndarray]] = []
    with bar(len(prompts), f"reading {folder}", unit="video") as progress:
        for file, prompt in zip(sample_files(folder, len(prompts)), prompts, strict=True):
            frames, _ = read_video(file)
            joins = range(every, len(frames), every) if every else ()
            try:
                scores.append(score(frames, prompt, joins, *look, world))
            except ConfigError as error:  # captions and names were checked: it is the file
                raise InputFileError(f"{file}: {error}") from None
            first = frames if first is None else first
            if len(shown) < ROWS:
                shown.append((prompt, frames[sampled(len(frames), COLUMNS)]))
            progress.update(1)
    for prompt, found in zip(prompts, scores, strict=True):
        print(
            f"{prompt}: {found.agreeing} of {found.windows} windows agree, joins {found.join:.2f} (worst {found.worst:.2f}), "
            f"bend {found.bend:.3f}, moved {found.moved:.1f}, background {found.background:.2f}"
        )
    return scores, needed(first, "a prompt"), shown


def markdown(summaries: Mapping[str, Mapping[str, float]]) -> str:
    """A table with a line for each way; the 95 % intervals of the rates of videos in brackets."""
    lines = [
        f"| way | videos | {' | '.join(FIGURES.values())} |",
        "|" + "---|" * (len(FIGURES) + 2),
    ]
    for name, summary in summaries.items():
        rates = [_rate(summary, key) for key in COUNTED]
        windows = f"{100 * summary['agreeing']:.0f} %"
        others = [f"{summary[key]:.3g}" for key in list(FIGURES)[len(COUNTED) + 1 :]]
        lines.append(f"| {name} | {summary['videos']} | {' | '.join([*rates, windows, *others])} |")
    return "\n".join(lines)


def _rate(summary: Mapping[str, float], key: str) -> str:
    low, high = (100 * summary[f"{key}_{end}"] for end in ("low", "high"))
    return f"{100 * summary[key]:.0f} % ({low:.0f} to {high:.0f})"


def command(argv: Sequence[str] | None = None) -> int:
    """The console entry: `main` with exit codes."""
    return guarded(main, argv)
