"""Measure long videos of the shapes world: is it one object throughout, do joins show, is its path smooth?"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from mindlong.cli.common import guarded
from mindlong.cli.evaluate_shapes import read_prompts, sample_files
from mindlong.data.long_score import score, table
from mindlong.data.shapes import SHAPES
from mindlong.media.read import read_video
from mindlong.utils.atomic import write_text
from mindlong.utils.progress import bar

EXAMPLES = """examples:
  python tools/evaluate_long.py outputs/0003 --joins 15
  python tools/evaluate_long.py outputs/0003 --joins 16 --json scores.json

FOLDER is what infer.py wrote: videos in the order of the prompts in its video.json. --joins is the number of frames from one
join to the next: 15 for runs of 16 frames that share their ends.
exit codes: 0 done, 1 failed, 2 bad arguments, 3 bad input file"""


def parser() -> argparse.ArgumentParser:
    """The arguments."""
    made = argparse.ArgumentParser(prog="evaluate_long.py", description=__doc__, epilog=EXAMPLES,
                                   formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("folder", type=Path, metavar="FOLDER", help="the videos")
    made.add_argument("--joins", type=int, default=15, metavar="N", help="frames from one join to the next (15); 0: none")
    made.add_argument("--prompts", type=Path, metavar="FILE", help="JSON with the prompts (FOLDER/video.json)")
    made.add_argument("--shapes", nargs="+", default=["circle", "square", "triangle"], choices=list(SHAPES), metavar="NAME")
    made.add_argument("--colours", nargs="+", default=["red", "green", "blue", "yellow"], metavar="NAME")
    made.add_argument("--json", type=Path, metavar="FILE", help="write every video's numbers")
    return made


def main(argv: Sequence[str] | None = None) -> int:
    """Read the videos, print a line each and the summary."""
    args = parser().parse_args(argv)
    prompts = read_prompts(args.prompts or args.folder / "video.json")
    scores = []
    with bar(len(prompts), "reading", unit="video") as progress:
        for file, prompt in zip(sample_files(args.folder, len(prompts)), prompts, strict=True):
            frames, _ = read_video(file)
            joins = range(args.joins, len(frames), args.joins) if args.joins else ()
            scores.append(score(frames, prompt, joins, tuple(args.shapes), tuple(args.colours)))
            progress.update(1)
    for prompt, found in zip(prompts, scores, strict=True):
        print(f"{prompt}: {found.agreeing} of {found.windows} windows agree, joins {found.join:.2f} (worst {found.worst:.2f}), "
              f"bend {found.bend:.3f}, moved {found.moved:.1f}")
    print(", ".join(f"{name} {value:.3g}" for name, value in table(scores).items()))
    if args.json:
        write_text(args.json, json.dumps({"summary": table(scores), "videos": [asdict(s) for s in scores]}, indent=1) + "\n")
    return 0


def command(argv: Sequence[str] | None = None) -> int:
    """The console entry: `main` with exit codes."""
    return guarded(main, argv)
