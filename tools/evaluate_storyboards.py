"""Storyboards of the shapes world made into long videos, and measured against the true films.

    python tools/evaluate_storyboards.py --out eval/storyboards
    python tools/evaluate_storyboards.py --out eval/fade level_steps=[1,16,4] \
      level_strength=[1,1,0.15] level_seams=[free,free,fade]

A storyboard is the first and the last frame of a film of 226 frames in which an object crosses the
image, of worlds that no network was trained on; with `--pictures 16` every 15th frame. Settings of
the call follow as key=value. OUT gets videos.json, a line for each video in films.csv, sheet.png
(truth above, made below) and the videos themselves. `--draw` writes the four pictures of
configs/infer/quickstart_storyboard.yaml to OUT, and stops.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import mindlong  # noqa: E402
from mindlong.config.command_line import pairs, parse_overrides  # noqa: E402
from mindlong.data.shapes import COLOURS as TONES  # noqa: E402
from mindlong.data.shapes import MOTIONS, Clip, ShapesWorld  # noqa: E402
from mindlong.data.shapes_draw import coverage, paint  # noqa: E402
from mindlong.scores.long_score import path_of, score  # noqa: E402
from mindlong.scores.seam_score import seams  # noqa: E402
from mindlong.utils.errors import ConfigError  # noqa: E402

FRAMES, SEED, JOIN, SIDE = 226, 20261127, 15, 64
SHAPES, COLOURS = ("circle", "square", "triangle"), ("red", "green", "blue", "yellow")
WORLD = ShapesWorld(
    (SIDE, SIDE), FRAMES, motions=tuple(MOTIONS), seed=SEED, speed=(0.0015, 0.0028)
)  # at most one crossing
COLUMNS = ("join", "worst", "contrast", "flicker", "psnr", "off", "bend", "constant")


def measured(frames: np.ndarray, clip: Clip) -> dict[str, float]:
    """The scores of a video beside its film's."""
    joins = range(JOIN, len(frames) - 1, JOIN)
    error = np.mean((frames.astype(np.float64) - clip.frames_FHWC) ** 2)
    away = np.linalg.norm(path_of(frames, SHAPES, COLOURS) - clip.truth.position_F2[:-1], axis=1)
    found = {
        **asdict(score(frames, clip.caption, joins, SHAPES, COLOURS)),
        **asdict(seams(frames, joins)),
    }
    psnr = float(10 * np.log10(255**2 / max(error, 1e-9)))
    return found | {"psnr": psnr, "off": float(np.nanmean(away))}


def summary(rows: list[dict[str, float]]) -> dict[str, float]:
    """Medians over videos; of `constant` the share."""
    return {
        name: float((np.mean if name == "constant" else np.median)([row[name] for row in rows]))
        for name in COLUMNS
    }


def settings(given: Sequence[str]) -> dict[str, Any]:
    """key=value pairs as keyword arguments of a call. Raises ConfigError where one is none."""
    return {
        pair.key.replace(".", "__"): parse_overrides([f"value={pair.words}"])["value"]
        for pair in pairs(given)
    }


def sheet(path: Path, films: list[np.ndarray], made: list[np.ndarray]) -> None:
    """Every 15th frame of truth and video, in two lines a storyboard."""
    rows = [
        np.concatenate(list(v[::JOIN]), 1) for pair in zip(films, made, strict=True) for v in pair
    ]
    Image.fromarray(np.concatenate(rows, 0)).save(path)


def draw(folder: Path) -> None:
    """A blue triangle at the left, the top, the right and the bottom of the image."""
    places = np.array([[16.0, 35.0], [32.0, 19.0], [48.0, 35.0], [32.0, 52.0]])
    ground = np.full((SIDE, SIDE, 3), 42, np.float32)
    covered = coverage("triangle", places, np.full(4, 11.0), (SIDE, SIDE))
    for number, frame in enumerate(paint(ground, covered, np.array(TONES["blue"])), 1):
        Image.fromarray(np.rint(frame).astype(np.uint8)).save(folder / f"{number}.png")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--weights", default="shipped:storyboard_shapes")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--videos", type=int, default=16)
    parser.add_argument("--pictures", type=int, default=2, choices=(2, 16))
    parser.add_argument("--first", type=int, default=0, help="number of the first film")
    parser.add_argument("--draw", action="store_true", help="only the quickstart's pictures")
    parser.add_argument("settings", nargs="*", metavar="key=value")
    args = parser.parse_args(argv)
    if args.videos < 1:
        raise ConfigError(f"--videos is {args.videos}; it must be at least 1")
    if args.draw:
        args.out.mkdir(parents=True, exist_ok=True)
        draw(args.out)
    else:
        evaluate(args)
    return 0


def evaluate(args: argparse.Namespace) -> None:
    """Make and measure."""
    model, chosen = mindlong.load(args.weights, quiet=True), settings(args.settings)
    args.out.mkdir(parents=True, exist_ok=True)
    usual = {"sample__guidance": 1, "batch": 5, "fps": 24}
    if not any("steps=" in pair for pair in args.settings):
        usual |= {"sample__steps": 10}
    every = (FRAMES - 1) // (args.pictures - 1)
    rows, films, made = [], [], []
    for number in range(args.first, args.first + args.videos):
        clip = WORLD.clip(number)
        pictures = list(clip.frames_FHWC[::every])
        keys = usual | {"hierarchical__images": pictures, "frames": FRAMES, "seed": number}
        video = model.long(clip.caption, **keys | chosen)
        video.save(args.out / f"{number:02d}.mp4", overwrite=True)
        rows.append({"caption": clip.caption, **measured(video.frames, clip)})
        films.append(clip.frames_FHWC)
        made.append(video.frames)
        print(clip.caption, {k: round(float(rows[-1][k]), 3) for k in COLUMNS}, flush=True)
    truth = summary([measured(film, WORLD.clip(args.first + i)) for i, film in enumerate(films)])
    with (args.out / "films.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    sheet(args.out / "sheet.png", films, made)
    record = {"made": summary(rows), "truth": truth, "settings": args.settings}
    (args.out / "videos.json").write_text(json.dumps(record, indent=1) + "\n")
    print(json.dumps(record, indent=1))


if __name__ == "__main__":
    from mindlong.cli.common import guarded

    sys.exit(guarded(main))
