"""The questions of make-a-stable-diffusion-video's author, answered by equal trainings on the
shapes world.

    python tools/ablate_interpolation.py --out runs/ablation --steps 300 --seeds 0 1 2
    python tools/ablate_interpolation.py --out runs/ablation --table            # what is there so
    far

Every variant of window and hint is trained from the same image model with every seed, for both
stages of 5 -> 17 -> 65 in runs of 17 frames, then measured on the whole chain (all 65 frames in one
run) with every way of pinning. A training that is there goes on or is left alone; a measurement
that is there is not made again. The table gives the mean over seeds and the standard deviation
between them: differences below it say nothing.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
CONFIG = ROOT / "configs/train/interpolate_shapes.yaml"
TRAINED = {  # name: (window, hint)
    "window 3": ("window:3", "previous"),
    "window 5": ("window:5", "previous"),
    "window 9": ("window:9", "previous"),
    "full": ("all", "previous"),
    "window 5, first frame": ("window:5|first", "previous"),
    "window 5, nearest": ("window:5", "nearest"),
    "window 5, linear": ("window:5", "linear"),
}
MEASURED = (
    "--frames",
    "65",
    "--every",
    "16",
    "--stages",
    "4",
    "4",
    "--bounce",
    "--speed",
    "0.004",
    "0.02",
)  # 5 -> 17 -> 65
PINS = ("none", "final", "each_step")
SCORES, REFERENCE = "scores.json", "window 5"
COLUMNS = ("psnr", "position", "steady", "right", "smoothness")


def main() -> None:
    """Train and measure what is not there yet, print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument(
        "--clips", type=int, default=8, help="clips of 65 frames that each network is measured on"
    )
    parser.add_argument("--size", type=int, default=48, help="pixels of a side")
    parser.add_argument(
        "--sampling", type=int, default=8, help="denoising steps of the measurement"
    )
    parser.add_argument(
        "--only",
        nargs="+",
        metavar="NAME",
        default=list(TRAINED),
        choices=list(TRAINED),
        help=f"which trainings: {', '.join(TRAINED)}",
    )
    parser.add_argument("--table", action="store_true", help="only print what is there")
    parser.add_argument(
        "overrides",
        nargs="*",
        metavar="key=value",
        help="keys put over the training's configuration",
    )
    args = parser.parse_intermixed_args()
    if not args.table:
        for seed in args.seeds:  # seed by seed, so that an early table compares all variants
            for name in args.only:
                run_one(args, name, seed)
    print("\n".join(table(args)))


def place(args: argparse.Namespace, name: str, seed: int) -> Path:
    """The run folder of a variant."""
    return args.out / f"{name.replace(', ', '-').replace(' ', '_')}-seed{seed}"


def run_one(args: argparse.Namespace, name: str, seed: int) -> None:
    """Train one variant, then measure it with each way of pinning."""
    (window, hint), run = TRAINED[name], place(args, name, seed)
    command(
        "train.py",
        "--config",
        str(CONFIG),
        f"run_dir={run}",
        f"train.steps={args.steps}",
        f"train.seed={seed}",
        "train.preview_every=0",
        f"model.reads.time={window}",
        f"interpolation.hint={hint}",
        f"latents.cache={args.out / 'latents'}",
        f"data.size=[{args.size}, {args.size}]",
        *args.overrides,
    )
    if not (run / SCORES).exists():
        command(
            "tools/evaluate_interpolation.py",
            "--shapes",
            str(args.clips),
            *MEASURED,
            "--size",
            *[str(args.size)] * 2,
            "--methods",
            "--weights",
            str(run),
            "--pin",
            *PINS,
            "--steps",
            str(args.sampling),
            "--seed",
            str(seed),
            "--json",
            str(run / SCORES),
        )


def command(script: str, *arguments: str) -> None:
    """Run one of the project's commands in a process of its own."""
    subprocess.run([sys.executable, str(ROOT / script), *arguments], check=True)


def table(args: argparse.Namespace) -> Iterator[str]:
    """Markdown: a row for each variant and way of pinning, mean over seeds and deviation between
    them.

    What one seed does to all variants alike (its noise, its batches) is taken out in the last
    column: the difference from the reference with the same seed and the same pin.
    """
    yield f"| variant | pin | seeds | PSNR dB | position px | steady | right | roughness | PSNR against {REFERENCE}, same seed |"
    yield "|---|---|---|---|---|---|---|---|---|"
    for name in args.only:
        for pin in PINS:
            found = {
                seed: numbers
                for seed in args.seeds
                if (numbers := scores(args, name, seed, pin)) is not None
            }
            if found:
                cells = [spread(column) for column in np.array(list(found.values())).T]
                beside = {seed: scores(args, REFERENCE, seed, pin) for seed in found}
                pairs = [
                    found[seed][0] - other[0] for seed, other in beside.items() if other is not None
                ]
                yield f"| {name} | {pin} | {len(found)} | {' | '.join(cells)} | {spread(pairs) if pairs else ''} |"


def scores(args: argparse.Namespace, name: str, seed: int, pin: str) -> np.ndarray | None:
    """The numbers of `COLUMNS`, where they were measured."""
    file = place(args, name, seed) / SCORES
    if not file.exists():
        return None
    found = json.loads(file.read_text(encoding="utf-8"))["shapes"][f"network, {pin}"]
    return np.array([found[column] for column in COLUMNS])


def spread(numbers: Sequence[float]) -> str:
    """Mean and deviation."""
    return f"{np.mean(numbers):.2f}" + (
        f" ± {np.std(numbers, ddof=1):.2f}" if len(numbers) > 1 else ""
    )


if __name__ == "__main__":
    main()
