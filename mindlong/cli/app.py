"""mindlong in a browser: plan, start, watch and stop runs, look through earlier ones and trainings.

The page is for this machine alone (127.0.0.1) unless --host names another address, which needs a
user and a password. Jobs are processes of their own: they go on when the page is closed or ended.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from mindlong.app.passwords import VARIABLE, needed, passwords
from mindlong.app.place import Place
from mindlong.cli.tool_parser import ToolParser
from mindlong.utils.errors import ConfigError

EXAMPLES = """examples:
  python app.py
  python app.py --trainings runs --weights ~/models --outputs outputs
  python app.py --host 192.168.1.20 --user anna"""


def main(argv: Sequence[str] | None = None) -> int:
    """Check the arguments, and show the page until it is stopped."""
    args = _parser().parse_args(argv)
    needed(args.host, args.user)
    if args.password_file and not args.user:
        raise ConfigError("--password_file is given without --user NAME")
    if min(args.jobs, args.upload_mb, args.upload_frames, args.quota_mb) < 1:
        raise ConfigError("--jobs, --upload_mb, --upload_frames and --quota_mb are at least 1")
    if not 0 <= args.port < 65536:
        raise ConfigError(f"--port is {args.port}; a port is a number from 1 to 65535")
    known = passwords(args.user, args.password_file) if args.user else {}
    from mindlong.app.serve import serve

    return serve(_place(args), args.host, args.port, known)


def _parser() -> ToolParser:
    made = ToolParser("app", __doc__, EXAMPLES)
    add = made.add_argument
    add("--home", default="mindlong_page", help="folder for uploads, jobs and what they make")
    add("--weights", action="append", default=[], metavar="FOLDER", help=_FOLDER.format("weights"))
    add(
        "--trainings",
        action="append",
        default=[],
        metavar="FOLDER",
        help="a folder of trainings to watch, whose weights may be named; may be given again",
    )
    add(
        "--outputs",
        action="append",
        default=[],
        metavar="FOLDER",
        help="a folder of runs of infer.py, which everybody at the page may look at; may be given again",
    )
    add("--jobs", type=int, default=1, help="runs at the same time (1); others wait")
    add("--host", default="127.0.0.1", help="address (127.0.0.1); another one needs --user")
    add("--port", type=int, default=0, help="port; 0: the first free one from 7860 on")
    add(
        "--user",
        action="append",
        default=[],
        metavar="NAME",
        help="who may log in; may be given again",
    )
    add(
        "--password_file",
        default="",
        metavar="FILE",
        help=f"the password of the user, or a line NAME:PASSWORD for each; else {VARIABLE}, else a prompt",
    )
    add("--upload_mb", type=int, default=200, help="largest upload in MiB (200)")
    add("--upload_frames", type=int, default=3000, help="most frames of an uploaded video (3000)")
    add("--quota_mb", type=int, default=2000, help="MiB of all uploads of one person (2000)")
    return made


_FOLDER = "a folder in which {} may be named; may be given again"


def _place(args: argparse.Namespace) -> Place:
    folders = {
        name: tuple(Path(each).expanduser().resolve() for each in getattr(args, name))
        for name in ("weights", "trainings", "outputs")
    }
    return Place(
        Path(args.home).expanduser().resolve(),
        **folders,
        jobs=args.jobs,
        upload_mb=args.upload_mb,
        upload_frames=args.upload_frames,
        quota_mb=args.quota_mb,
    )
