#!/usr/bin/env python
"""Frames of one video that fit into a device, by the estimates of a dry run: a table in Markdown.

python tools/frames_that_fit.py                     # 32 and 64 GB, every family
python tools/frames_that_fit.py --gigabytes 16 --processes 4
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from mindlong.config.cost import offloaded, shared_states  # noqa: E402
from mindlong.config.section import load_model  # noqa: E402
from mindlong.networks import table  # noqa: E402
from mindlong.networks.cost import Load  # noqa: E402
from mindlong.networks.network import Network  # noqa: E402
from mindlong.ops.attention.table import LARGE_SCORES  # noqa: E402

MODELS = {  # file -> height and width of its videos
    "vdm_dim64": (64, 64),
    "modelscope": (256, 256),
    "videocrafter2": (320, 512),
    "dynamicrafter_256": (256, 256),
    "dynamicrafter_512": (320, 512),
    "dynamicrafter_1024": (576, 1024),
    "animatediff_v1": (512, 512),
    "animatediff_v3": (512, 512),
    "tune_a_video_sd15": (512, 512),
    "pseudo3d_sd15": (256, 256),
    "cogvideox_2b": (480, 720),
}
MOST = 4096
HELD = 0.06  # share of a device's memory that runtime, HCCL and gaps take: assumed
# no vendor kernel serves float32, or a gradient on a 910A: scores, and what the softmax makes of
# them, of the chunk of queries at hand
SCORES = 2.0 * LARGE_SCORES
# bytes of a number in which averages come together to be saved: in the memory of the host
TOGETHER = 4.0


@dataclass(frozen=True)
class Way:
    """A column: a guided call, or a training with these keys."""

    title: str
    trains: bool = True
    half: bool = False
    shard: str = "none"
    recompute: bool = False
    offload: bool = False


WAYS = (
    Way("inference", trains=False),
    Way("inference, float16", trains=False, half=True),
    Way("training, one process"),
    Way("train.shard=optimizer", shard="optimizer"),
    Way("train.shard=gradients", shard="gradients"),
    Way("and train.recompute", shard="gradients", recompute=True),
    Way("and train.offload=all", shard="gradients", recompute=True, offload=True),
)


def most_frames(needs: Callable[[int], float], limit: float, most: int = MOST) -> int:
    """The most frames, up to `most`, whose need of bytes stays below `limit`; 0: none."""
    low, high = 0, most
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if needs(middle) <= limit else (low, middle - 1)
    return low


def needs_of(way: Way, entry: Network, spec: Any, load: Load, processes: int) -> float:
    """Bytes of a process, by the formulas of a dry run."""
    if not way.trains:
        cost = entry.cost(spec, replace(load, videos=2)).bytes
        return cost / 2 if way.half else cost + SCORES
    cost = entry.cost(spec, replace(load, recompute=way.recompute))
    count = processes if way.shard != "none" else 1
    states = shared_states(way.shard, True, count)
    states -= offloaded("all" if way.offload else "none", way.shard, count)
    states -= TOGETHER if count > 1 else 0.0
    return cost.train_bytes + SCORES + states * cost.parameters


def row(name: str, limits: list[float], processes: int) -> list[str]:
    """The cells of a family: frames of the longest video, for each device."""
    model = load_model(Path(__file__).parents[1] / "configs/model" / f"{name}.yaml")
    entry, spec = table.get(model.family), model.spec()
    factor = 8 if entry.denoiser.space == "latent" else 1
    height, width = (side // factor for side in MODELS[name])
    most, squeezed = bounds(entry, spec)

    def needs(way: Way, frames: int) -> float:
        load = Load(1, frames, height, width, 77)
        return needs_of(way, entry, spec, load, processes)

    cells = []
    for way in WAYS:
        found = [most_frames(partial(needs, way), limit, most) for limit in limits]
        cells.append(" / ".join(_shown(n, most, squeezed) for n in found))
    parameters = entry.cost(spec, Load(1, 1, height, width, 77)).parameters
    return [name, f"{parameters / 1e6:.0f} M", "x".join(map(str, MODELS[name])), *cells]


def bounds(entry: Network, spec: Any) -> tuple[int, bool]:
    """The most latents that the network knows places or image tokens for; whether its autoencoder
    makes one of four frames.
    """
    images = entry.denoiser.images
    places = [b.places for s in getattr(spec, "transformers", ()) for b in s.branches if b.places]
    fixed = [images.frames] if images is not None and getattr(images, "frames", 0) else []
    return min([MOST, *places, *fixed]), entry.family.startswith("cogvideox")


def _shown(latents: int, most: int, squeezed: bool) -> str:
    if not latents:
        return "none"
    frames = 4 * (latents - 1) + 1 if squeezed else latents
    return f"{frames} (all)" if latents == most else str(frames)


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--gigabytes", type=float, nargs="+", default=[32.0, 64.0])
    parser.add_argument("--processes", type=int, default=8)
    args = parser.parse_args()
    heads = ["model", "parameters", "pixels", *(way.title for way in WAYS)]
    print("\n".join([_line(heads), _line(["---"] * len(heads))]))
    for name in MODELS:
        print(_line(row(name, [g * 1e9 * (1 - HELD) for g in args.gigabytes], args.processes)))
    return 0


def _line(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    sys.exit(main())
