#!/usr/bin/env python
"""Frames of one video that fit into a device, by the estimates of a dry run: a table in Markdown.

python tools/frames_that_fit.py                     # 32 and 64 GB, every family
python tools/frames_that_fit.py --gigabytes 16 --processes 4
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from mindlong.config.section import load_model
from mindlong.networks import table  # noqa: E402
from mindlong.networks.cost import Load  # noqa: E402

MODELS = {  # file -> height and width of its videos
    "vdm_dim64": (64, 64),
    "modelscope": (256, 256),
    "videocrafter2": (320, 512),
    "tune_a_video_sd15": (512, 512),
    "pseudo3d_sd15": (256, 256),
}
MOST = 4096
MOMENTS = 12.0  # bytes of moments and average of a parameter


def most_frames(needs: Callable[[int], float], limit: float) -> int:
    """The most frames, up to MOST, whose need of bytes stays below `limit`; 0: none."""
    low, high = 0, MOST
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if needs(middle) <= limit else (low, middle - 1)
    return low


def row(name: str, limits: list[float], processes: int) -> list[str]:
    """The cells of a family: frames in inference, then in training as it is, with moments spread
    over processes, and with recomputation as well.
    """
    model = load_model(Path(__file__).parents[1] / "configs/model" / f"{name}.yaml")
    entry, spec = table.get(model.family), model.spec()
    factor = 8 if entry.denoiser.space == "latent" else 1
    height, width = (side // factor for side in MODELS[name])
    one = Load(1, 1, height, width, 77)
    parameters = entry.cost(spec, one).parameters
    spread = MOMENTS * parameters * (1 - 1 / processes)

    def trained(frames: int, recompute: bool, less: float) -> float:
        return entry.cost(spec, replace(one, frames=frames, recompute=recompute)).train_bytes - less

    ways: list[Callable[[int], float]] = [
        lambda frames: entry.cost(spec, replace(one, videos=2, frames=frames)).bytes,
        lambda frames: trained(frames, False, 0.0),
        lambda frames: trained(frames, False, spread),
        lambda frames: trained(frames, True, spread),
    ]
    cells = [" / ".join(_shown(most_frames(way, limit)) for limit in limits) for way in ways]
    return [name, f"{parameters / 1e6:.0f} M", "x".join(map(str, MODELS[name])), *cells]


def _shown(frames: int) -> str:
    return f"{MOST} or more" if frames == MOST else str(frames) if frames else "none"


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--gigabytes", type=float, nargs="+", default=[32.0, 64.0])
    parser.add_argument("--processes", type=int, default=8)
    args = parser.parse_args()
    heads = ["model", "parameters", "pixels", "inference, guided", "training"]
    heads += [f"train.shard=optimizer, {args.processes} processes", "and train.recompute=true"]
    print("\n".join([_line(heads), _line(["---"] * len(heads))]))
    for name in MODELS:
        print(_line(row(name, [g * 1e9 for g in args.gigabytes], args.processes)))
    return 0


def _line(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    sys.exit(main())
