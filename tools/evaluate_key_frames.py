"""Every 15th frame of real films as key frames, what is made between them, and its seams.

    python tools/evaluate_key_frames.py bikes.mp4 vtest.avi --out eval/films --ways flow twin

flow and blend (a mix of both key frames) need no network and work at `--size`; twin is
`hierarchical.key_video` by shipped:storyboard_shapes, at 64x64. A table goes to OUT/films.md.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from mindlong.cli.infer import main as infer  # noqa: E402
from mindlong.data.transforms import fitted  # noqa: E402
from mindlong.media.read import read_video  # noqa: E402
from mindlong.media.write import write_frames  # noqa: E402
from mindlong.scores.long_score import joins_of  # noqa: E402
from mindlong.scores.seam_score import seams  # noqa: E402

EVERY, TWIN = 15, (64, 64)
HEAD = (
    "| film | way | joins | worst | contrast | flicker | PSNR, dB |\n|---|---|---|---|---|---|---|"
)


def truth_of(film: Path, size: tuple[int, int], most: int) -> np.ndarray:
    """The film's beginning, as many frames as end in a key frame."""
    frames = read_video(film)[0][:most]
    whole = 1 + (len(frames) - 1) // EVERY * EVERY
    return np.stack([fitted(frame, size) for frame in frames[:whole]])


def made(truth: np.ndarray, way: str, where: Path, more: list[str]) -> np.ndarray:
    """What the pipeline makes of every 15th frame, read back from its folder."""
    if way == "twin":
        held = write_frames(where / "film", truth, 24)
        keys = ["pipeline=hierarchical", "weights=shipped:storyboard_shapes", f"key_video={held}"]
        keys += ["level_steps=[1,8]", "level_seams=[free,fade]", "batch=5", "level_videos=false"]
    else:
        held = write_frames(where / "film", truth[::EVERY], 24)
        keys = ["pipeline=interpolate", f"method={way}", f"video={held}", f"factor={EVERY}"]
    if infer([*keys, "formats=[frames]", f"output={where}/out", *more]):
        raise SystemExit(f"{way} failed on {where}")
    return read_video(max((where / "out").glob("*/video.json")).parent / "video")[0]


def row(film: str, way: str, frames: np.ndarray, truth: np.ndarray) -> str:
    """A line of the table."""
    places = range(EVERY, len(truth) - 1, EVERY)
    mean, worst = joins_of(frames, places)
    found = seams(frames, places)
    error = np.mean((frames.astype(np.float64) - truth) ** 2)
    psnr = f"{10 * np.log10(255**2 / error):.1f}" if error else "-"
    numbers = f"{mean:.2f} | {worst:.2f} | {100 * found.contrast:.1f} % | {found.flicker:.2f}"
    return f"| {film} | {way} | {numbers} | {psnr} |"


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("films", type=Path, nargs="+", metavar="FILM")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument(
        "--ways", nargs="+", default=["flow"], choices=("flow", "blend", "repeat", "twin")
    )
    parser.add_argument("--size", type=int, nargs=2, default=(144, 256), metavar=("H", "W"))
    parser.add_argument("--most", type=int, default=226, help="frames of a film")
    parser.add_argument("--set", nargs="*", default=[], metavar="key=value", dest="more")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    rows = [HEAD]
    for film in args.films:
        for way in args.ways:
            truth = truth_of(film, TWIN if way == "twin" else tuple(args.size), args.most)
            where = args.out / f"{film.stem}-{way}"
            shutil.rmtree(where, ignore_errors=True)
            rows.append(row(film.stem, way, made(truth, way, where, args.more), truth))
            size = f"{truth.shape[1]}x{truth.shape[2]}"
            rows.append(row(film.stem, f"the film, {size}", truth, truth))
    (args.out / "films.md").write_text("\n".join(rows) + "\n")
    print(*rows, sep="\n")


if __name__ == "__main__":
    main()
