"""Compare two folders of videos: the scores of each, their difference with its interval, and the
Frechet distance of their features.

Without weights: flicker, smoothness and degree of motion, and joins (--joints). With --clip also
consistency, its drift over a long video, and a Frechet distance of CLIP embeddings. FVD proper
needs features of an I3D, made elsewhere: --features A.npy B.npy, (videos, width) each.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mindlong.cli.common import ToolParser
from mindlong.cli.run_videos import is_result
from mindlong.data.found import find_clips
from mindlong.media.read import read_video
from mindlong.scores import bench, intervals
from mindlong.scores.asked import write_json
from mindlong.scores.bench import SEAM
from mindlong.scores.frechet import frechet_distance
from mindlong.utils import progress
from mindlong.utils.arrays import Damaged, read_npy
from mindlong.utils.errors import ConfigError, InputFileError
from mindlong.utils.shown import shown

EXAMPLES = """examples:
  python tools/compare_videos.py outputs/0001 outputs/0002 --joints 16 --json scores.json --plot scores.png
  python tools/compare_videos.py mine theirs --clip models/clip-vit-base-patch32
  python tools/compare_videos.py mine theirs --features mine_i3d.npy theirs_i3d.npy

exit codes: 0 done, 1 failed, 2 bad arguments, 3 bad input file"""
NAMES = ("A", "B")
LARGEST = 2**30  # bytes of a file of features


def parser() -> ToolParser:
    """The arguments."""
    made = ToolParser("compare_videos", __doc__, EXAMPLES)
    made.add_argument("a", type=Path, metavar="A", help="a folder of videos")
    made.add_argument("b", type=Path, metavar="B", help="another one")
    made.add_argument("--clip", type=Path, metavar="PATH", help="a CLIP model, for embeddings")
    made.add_argument(
        "--tokenizer", type=Path, metavar="FOLDER", help="its tokenizer, where it lies elsewhere"
    )
    made.add_argument(
        "--features",
        nargs=2,
        type=Path,
        metavar=("A.npy", "B.npy"),
        help="features of the videos of A and B by another network, for the Frechet distance",
    )
    made.add_argument(
        "--joints", type=int, default=0, metavar="N", help="clips are joined every N frames"
    )
    made.add_argument("--max_frames", type=int, metavar="F", help="read the first F frames only")
    made.add_argument("--json", type=Path, metavar="FILE", help="write all numbers")
    made.add_argument("--plot", type=Path, metavar="FILE.png", help="draw them")
    return made


def main(argv: Sequence[str] | None = None) -> int:
    """Read the videos, print a table."""
    made = parser()
    args = made.parse_args(argv)
    if args.joints < 0:
        raise ConfigError(f"--joints is {args.joints}; it is a number of frames")
    if not args.clip:
        made.refuse_idle(args, ("tokenizer",), "belongs to --clip; give --clip PATH too")
    folders = dict(zip(NAMES, (_clips(args.a), _clips(args.b)), strict=True))
    features = [_features(path) for path in args.features or ()]
    scorer = _scorer(args) if args.clip else None
    with progress.bar(sum(map(len, folders.values())), "scoring", unit="video") as bar:
        found = {
            name: {str(path): _scored(path, args, scorer, bar) for path in paths}
            for name, paths in folders.items()
        }
    rows = {name: {p: row for p, (row, _) in held.items()} for name, held in found.items()}
    distances: dict[str, float] = {}
    if scorer:
        means = [
            np.stack([mean for _, mean in found[name].values() if mean is not None])
            for name in NAMES
        ]
        distances["frechet_clip"] = frechet_distance(*means)
    if features:
        distances["frechet_features"] = frechet_distance(*features)
    keys = _keys(args, rows)
    table = {key: _compared(rows, key) for key in keys}
    _print(table, distances)
    if args.json:
        write_json(args.json, _whole(rows, table, distances))
    if args.plot:
        _draw(args.plot, rows, keys)
    return 0


def _clips(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise InputFileError(f"{shown(folder)} is no folder; videos are compared by folders")
    try:
        found = find_clips(folder)
    except InputFileError as error:
        raise InputFileError(str(error).removeprefix("data.folder ")) from error
    made = [path for path in found if is_result(path, folder)]
    if not made:
        raise InputFileError(
            f"{shown(folder)} holds no video that a run has made, only what runs keep beside their videos; "
            "name a folder of videos"
        )
    return list({_without_kind(path): path for path in sorted(made, key=_preference)}.values())


def _without_kind(path: Path) -> Path:
    """Where a video lies without its format, which several files of one video differ in. A folder
    of frames has none: what stands behind a dot is of its name.
    """
    return path if path.is_dir() else path.with_suffix("")


def _preference(path: Path) -> tuple[bool, Path]:
    """A run writes a video in several formats: the last of its files counts, never a GIF where
    there is another.
    """
    return path.suffix.lower() != ".gif", path


def _features(path: Path) -> np.ndarray:
    if path.is_file() and path.stat().st_size > LARGEST:
        raise InputFileError(f"{shown(path)} is larger than 1 GiB")
    try:
        held = read_npy(path)
    except Damaged as error:
        raise InputFileError(f"{shown(path)} cannot be read as a .npy file: {error}") from None
    if held.ndim != 2 or held.dtype.kind not in "fiu":
        raise InputFileError(f"{shown(path)} holds no numbers of shape (videos, width)")
    return held


def _scored(
    path: Path, args: argparse.Namespace, scorer: Any, bar: Any
) -> tuple[dict[str, float], np.ndarray | None]:
    """The scores of a video, and the mean embedding of its frames."""
    frames, _ = read_video(path, args.max_frames)
    units = scorer.frames(frames) if scorer else None
    joints = range(args.joints, len(frames), args.joints) if args.joints else ()
    row = bench.scores(frames, units, list(joints))
    bar.update(1)
    return row, None if units is None else units.mean(0)


def _keys(
    args: argparse.Namespace, rows: Mapping[str, Mapping[str, Mapping[str, float]]]
) -> list[str]:
    """The scores that any video has; a video too short for a joint has no `seam`.

    Raises:
        ConfigError: joints are asked for, and a folder has none: the mean of nothing is no number.
    """
    keys = {name: _of_any(rows[name].values()) for name in NAMES}
    for name, folder in zip(NAMES, (args.a, args.b), strict=True):
        if args.joints and SEAM not in keys[name]:
            raise ConfigError(
                f"no video of {shown(folder)} has more than {args.joints} frames that are read, so none has a joint "
                "to measure; give a smaller --joints, or leave it out"
            )
    return list(dict.fromkeys([*keys["A"], *keys["B"]]))


def _of_any(rows: Iterable[Mapping[str, float]]) -> dict[str, None]:
    """The names of scores that one of them has, in their order."""
    return dict.fromkeys(key for row in rows for key in row)


def _compared(
    rows: Mapping[str, Mapping[str, Mapping[str, float]]], key: str
) -> dict[str, intervals.Interval]:
    a, b = ([row[key] for row in rows[name].values() if key in row] for name in NAMES)
    return {
        "A": intervals.of_mean(a),
        "B": intervals.of_mean(b),
        "B - A": intervals.of_difference(a, b),
    }


def _print(
    table: Mapping[str, Mapping[str, intervals.Interval]], distances: Mapping[str, float]
) -> None:
    heads = [*NAMES, "B - A"]
    print(f"{'mean [95 % interval]':<24}" + "".join(f"{head:<28}" for head in heads))
    for key, held in table.items():
        print(f"{key:<24}" + "".join(f"{held[head]!s:<28}" for head in heads))
    for key, value in distances.items():
        print(f"{key:<24}{value:.6g}")


def _whole(rows: Any, table: Any, distances: Mapping[str, float]) -> dict[str, Any]:
    compared = {key: {n: vars(i) for n, i in held.items()} for key, held in table.items()}
    return {"videos": rows, "compared": compared, "distances": dict(distances)}


def _draw(path: Path, rows: Any, keys: Sequence[str]) -> None:
    from mindlong.scores.bench_plot import plot

    values = {k: [[row[k] for row in rows[n].values() if k in row] for n in NAMES] for k in keys}
    plot(path, values, NAMES)


def _scorer(args: argparse.Namespace) -> Any:
    from mindlong.ops import device
    from mindlong.scores.video import load_clip

    device.setup("auto", "graph")
    return load_clip(args.clip, args.tokenizer or "")
