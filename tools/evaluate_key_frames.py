"""Every 15th frame of real films as key frames, what is made between them, and its seams.

    python tools/evaluate_key_frames.py bikes.mp4 vtest.avi --out eval/films --ways flow twin

flow and blend (a mix of both key frames) need no network and work at `--size`; twin is
`hierarchical.key_video` by shipped:storyboard_shapes, at 64x64. A table goes to OUT/films.md, and
what each way made of a film to OUT/FILM-WAY; what is there already is refused, not replaced.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from mindlong.cli.infer import main as infer  # noqa: E402
from mindlong.data.chop_names import stem_of  # noqa: E402
from mindlong.data.transforms import fitted  # noqa: E402
from mindlong.media.read import read_video  # noqa: E402
from mindlong.media.write import distinct_names, write_frames  # noqa: E402
from mindlong.scores.asked import twice  # noqa: E402
from mindlong.scores.long_score import joins_of  # noqa: E402
from mindlong.scores.seam_score import seams  # noqa: E402
from mindlong.utils.atomic import write_text  # noqa: E402
from mindlong.utils.errors import ConfigError, InputFileError, UserError  # noqa: E402

EVERY, TWIN, TABLE = 15, (64, 64), "films.md"
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
        raise UserError(f"{way} failed on {where}")
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


def parser() -> argparse.ArgumentParser:
    """The arguments."""
    found = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    found.add_argument("films", type=Path, nargs="+", metavar="FILM")
    found.add_argument("--out", type=Path, required=True)
    found.add_argument(
        "--ways", nargs="+", default=["flow"], choices=("flow", "blend", "repeat", "twin")
    )
    found.add_argument("--size", type=int, nargs=2, default=(144, 256), metavar=("H", "W"))
    found.add_argument("--most", type=int, default=226, help="frames of a film")
    found.add_argument("--set", nargs="*", default=[], metavar="key=value", dest="more")
    return found


def places_of(films: Sequence[Path], ways: Sequence[str], out: Path) -> dict[tuple[Path, str], str]:
    """(film, way) -> the name of its folder in `out`; films of one name in two folders get two.

    Raises:
        InputFileError: a film is not there. ConfigError: a film or a way is given twice, or
            something is there that would be written over.
    """
    for given in (films, ways):
        again = twice(given)
        if again:
            raise ConfigError(f"{again} is given twice; name it once")
    missing = next((film for film in films if not film.exists()), None)
    if missing:
        raise InputFileError(f"no film at {missing}; it does not exist")
    names = distinct_names([stem_of(film) for film in films])
    found = {
        (film, way): f"{name}-{way}"
        for film, name in zip(films, names, strict=True)
        for way in ways
    }
    there = next((out / name for name in (TABLE, *found.values()) if (out / name).exists()), None)
    if there:
        raise ConfigError(f"{there} is there already and is not replaced; give another --out")
    return found


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command."""
    args = parser().parse_args(argv)
    rows = [HEAD]
    for (film, way), name in places_of(args.films, args.ways, args.out).items():
        truth = truth_of(film, TWIN if way == "twin" else tuple(args.size), args.most)
        label = name.removesuffix(f"-{way}")
        rows.append(row(label, way, made(truth, way, args.out / name, args.more), truth))
        size = f"{truth.shape[1]}x{truth.shape[2]}"
        rows.append(row(label, f"the film, {size}", truth, truth))
    write_text(args.out / TABLE, "\n".join(rows) + "\n")
    print(*rows, sep="\n")
    return 0


if __name__ == "__main__":
    from mindlong.cli.common import guarded

    sys.exit(guarded(main))
