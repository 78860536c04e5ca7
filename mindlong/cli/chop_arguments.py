"""The arguments of the chopping tool, and which of them go together."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

from mindlong.cli.common import ToolParser
from mindlong.utils.errors import ConfigError

# what cutting takes and the other two ways would leave unread
IDLE = {
    "--index": (
        "length",
        "stride",
        "least",
        "scenes",
        "fps",
        "side",
        "kind",
        "caption",
        "out",
        "tree",
        "alpha_background",
    ),
    "--tree": ("length", "stride", "least", "scenes", "fps", "side"),
}
Add = Callable[..., object]  # ArgumentParser.add_argument
EXAMPLES = """examples:
  python tools/chop_video.py holiday.mp4 --out clips --length 48 --scenes
  python tools/chop_video.py films/*.mp4 --out clips --length 16 --fps 8 --side 128 --dry_run

  python tools/chop_video.py films/*.mp4 --index films.json --levels 16,16
  python tools/chop_video.py film.mp4 --out tree --tree 12

--index cuts nothing: it lists which frames the runs of a hierarchy take, for infinet.index of a training.
A folder of clips made so is what data.folder of a training takes. Beside clip x.mp4 put x.txt for a caption.
exit codes: 0 done, 1 failed, 2 bad arguments, 3 bad input file"""


def parser(about: str) -> argparse.ArgumentParser:
    """The arguments, with defaults of `ChopOptions`."""
    made = ToolParser("chop", about, EXAMPLES)
    made.add_argument(
        "videos", nargs="+", type=Path, metavar="VIDEO", help="video files or folders of frames"
    )
    for group in (_ways, _cuts, _looks):
        group(made.add_argument)
    made.add_argument("--dry_run", action="store_true", help="print the plan and stop; only reads")
    return made


def _ways(add: Add) -> None:
    """What is made, and where."""
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
        "--L",
        type=int,
        default=0,
        metavar="L",
        help="write InfiNet's nested tree: each clip divided into L, depth by depth; without --out it "
        "goes to ./VIDEO/scenario_0, as video_chop.py's did",
    )


def _cuts(add: Add) -> None:
    """Which frames a clip has."""
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


def _looks(add: Add) -> None:
    """What a clip looks like, and its caption."""
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
    add(
        "--alpha_background",
        default="white",
        metavar="COLOUR",
        help="seen where a video is transparent: a name, or '#rrggbb' (white)",
    )


def refuse_idle(args: argparse.Namespace) -> None:
    """Raise ConfigError where an argument is given that the way chosen does not read."""
    usual = parser("").parse_args(["video"])
    way = "--index" if args.index else "--tree" if args.tree else ""
    for name in IDLE.get(way, ()):
        if getattr(args, name) != getattr(usual, name):
            raise ConfigError(f"--{name} has no effect with {way}; leave it out")
    if not args.index and args.levels != usual.levels:
        raise ConfigError("--levels belongs to --index; give --index FILE too")
    if args.tree and args.kind not in ("mp4", "gif"):
        raise ConfigError(f"--kind is {args.kind}; a tree is of mp4 or gif files")
