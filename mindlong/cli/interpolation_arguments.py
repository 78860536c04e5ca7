"""The arguments of the tool that measures interpolation, and which of them go together."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

from mindlong.cli.common import ToolParser
from mindlong.config.infer_options.interpolate import DETAILS, HINTS, MASKS, PINS
from mindlong.data.flow import METHODS

ABOUT = """Measure interpolation: every n-th frame is kept, the others are made anew and compared with
what was there.
"""
EXAMPLES = """examples:
  python tools/evaluate_interpolation.py holiday.mp4 sports.mp4
  python tools/evaluate_interpolation.py --shapes 64 --frames 17 --size 48 48
  python tools/evaluate_interpolation.py --shapes 16 --frames 17 --weights runs/interpolate_shapes --pin each_step

exit codes: 0 done, 1 failed, 2 bad arguments, 3 bad input file"""
DRAWN = 2  # clips of a sheet
OF_WORLD = ("sheet", "world", "outlines", "colours", "frames", "size", "first", "bounce", "speed")
OF_NETWORK = (
    "hint",
    "mask",
    "pin",
    "detail",
    "steps",
    "guidance",
    "seed",
    "stages",
    "window",
    "threads",
    "reads",
)
OF_VIDEOS = ("fit", "max_frames")


def parser() -> ToolParser:
    """The arguments."""
    made = ToolParser("evaluate_interpolation", ABOUT, EXAMPLES)
    made.add_argument(
        "videos", nargs="*", type=Path, metavar="VIDEO", help="files, or folders of frames"
    )
    made.add_argument("--every", type=int, default=4, metavar="N", help="keep every N-th frame (4)")
    made.add_argument(
        "--methods",
        nargs="*",
        default=list(METHODS),
        choices=list(METHODS),
        help="without a network",
    )
    made.add_argument(
        "--max_frames", type=int, default=0, metavar="N", help="only the first N frames of a video"
    )
    made.add_argument(
        "--fit",
        type=int,
        nargs=2,
        metavar=("H", "W"),
        help="resize a video's frames until they cover these pixels, and cut their edges off",
    )
    made.add_argument("--json", type=Path, metavar="FILE", help="write all numbers")
    made.add_argument(
        "--sheet",
        type=Path,
        metavar="PNG",
        help=f"draw the first {DRAWN} clips of the world: the truth, and what every method made",
    )
    _shapes_arguments(made.add_argument)
    network = made.add_argument_group("with a network")
    _network_arguments(network.add_argument)
    _chain_arguments(network.add_argument)
    return made


def _shapes_arguments(add: Callable[..., object]) -> None:
    """Which clips of the shapes world are measured."""
    add(
        "--shapes",
        type=int,
        default=0,
        metavar="N",
        help="clips of a synthetic world, read back by its reader",
    )
    add(
        "--world",
        default="shapes",
        choices=("shapes", "film"),
        help="shapes: which world (shapes)",
    )
    add("--outlines", nargs="+", metavar="NAME", help="shapes: which ones (all of the world's)")
    add("--colours", nargs="+", metavar="NAME", help="shapes: in which colours (the world's)")
    add("--frames", type=int, default=17, metavar="N", help="shapes: frames of a clip (17)")
    add(
        "--size",
        type=int,
        nargs=2,
        default=[48, 48],
        metavar=("H", "W"),
        help="shapes: pixels (48 48)",
    )
    add(
        "--first",
        type=int,
        default=10**6,
        metavar="N",
        help="shapes: number of the first clip (1000000)",
    )
    add(
        "--bounce", action="store_true", help="shapes: turn back at the edges rather than slow down"
    )
    add(
        "--speed",
        type=float,
        nargs=2,
        default=[0.045, 0.08],
        metavar=("LOW", "HIGH"),
        help="shapes: shares of the shorter side a frame (0.045 0.08)",
    )


def _network_arguments(add: Callable[..., object]) -> None:
    """Which network fills, and how it samples."""
    add(
        "--weights",
        default="",
        metavar="WHERE",
        help="a run, a folder of networks, or shipped:NAME",
    )
    add("--hint", default="", choices=("", *HINTS), help="as trained without")
    add("--mask", default="", choices=("", *MASKS), help="as trained without")
    add(
        "--pin",
        nargs="+",
        default=["each_step"],
        choices=PINS,
        help="one after another (each_step)",
    )
    add(
        "--detail",
        nargs="+",
        default=["network"],
        choices=DETAILS,
        help="whose pixels are taken where network and flow agree; one after another (network)",
    )
    add("--steps", type=int, default=25, metavar="N", help="denoising steps (25)")
    add("--guidance", type=float, default=1.0, metavar="X")
    add("--seed", type=int, default=0, metavar="N")


def _chain_arguments(add: Callable[..., object]) -> None:
    """How a long gap is filled in stages, and what a frame reads."""
    add(
        "--stages",
        type=int,
        nargs="+",
        metavar="N",
        help="factors of a chain whose product is N (one stage)",
    )
    add(
        "--window",
        type=int,
        default=0,
        metavar="N",
        help="longest run of a stage in frames; 0: no limit",
    )
    add("--threads", type=int, default=0, metavar="N", help="CPU threads; 0: all cores")
    add(
        "--reads", default="", metavar="POLICY", help="which frames a frame reads, such as window:5"
    )


def refuse_idle(made: ToolParser, args: argparse.Namespace) -> None:
    """Raises ConfigError where an option has nothing to work on."""
    if not args.shapes:
        made.refuse_idle(args, OF_WORLD, "is of clips of a world; give --shapes N")
    if not args.weights:
        made.refuse_idle(args, OF_NETWORK, "is of a network, and there is none; give --weights")
    if not args.videos:
        said = "is of videos, and none is named; clips of a world have --size and --frames"
        made.refuse_idle(args, OF_VIDEOS, said)
