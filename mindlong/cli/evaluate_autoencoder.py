"""Measure an autoencoder: how much of your videos, or of a synthetic world, it gives back.

A network in its latents cannot do better. The deviation of the latents says what latents.scaling
should be in a training.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np

from mindlong.cli.common import ToolParser, guarded
from mindlong.config.data_options import DataOptions
from mindlong.config.latent_options import LatentOptions
from mindlong.data.build import build_source
from mindlong.data.transforms import fitted
from mindlong.media.limits import LIMITS
from mindlong.media.read import open_reader
from mindlong.media.write import write_contact_sheet
from mindlong.scores.asked import ANY, in_limits, names_of, write_json
from mindlong.scores.autoencoder import Fidelity, fidelity
from mindlong.utils.errors import ConfigError
from mindlong.utils.progress import bar
from mindlong.utils.sizes import divisible

EXAMPLES = """examples:
  python tools/evaluate_autoencoder.py shipped:base_shapes --world shapes
  python tools/evaluate_autoencoder.py runs/film_autoencoder --world film --sheet film.png
  python tools/evaluate_autoencoder.py models/stable-diffusion-v1-5 holiday.mp4 --size 256 448 --every 10

exit codes: 0 done, 1 failed, 2 bad arguments, 3 bad input file"""
BATCH, PICTURES = 16, 8  # images at a time; of a sheet
HELD_OUT = 10**9  # images of a world that no training draws
WITHIN = {
    "count": (1, ANY),
    "size": (1, LIMITS.side),
    "every": (1, LIMITS.frames),  # no video holds more frames
    "max_frames": (0, LIMITS.frames),
    "threads": (0, ANY),
}


def parser() -> argparse.ArgumentParser:
    """The arguments."""
    made = ToolParser("evaluate_autoencoder", __doc__, EXAMPLES)
    add: Callable[..., object] = made.add_argument
    add("weights", metavar="WHERE", help="a run, a folder of networks, a file, or shipped:NAME")
    add("videos", nargs="*", type=Path, metavar="VIDEO", help="files, or folders of frames")
    add(
        "--world",
        choices=("shapes", "film"),
        help="images of a synthetic world, with the outlines and colours that a training draws",
    )
    add("--count", type=int, default=256, metavar="N", help="images of the world (256)")
    add(
        "--size",
        type=int,
        nargs=2,
        default=[64, 64],
        metavar=("H", "W"),
        help="pixels; videos are resized until they cover it, and cut (64 64)",
    )
    add("--every", type=int, default=1, metavar="N", help="only every N-th frame of a video")
    add("--max_frames", type=int, default=0, metavar="N", help="at most N frames of a video")
    add("--threads", type=int, default=0, metavar="N", help="CPU threads; 0: all cores")
    add("--sheet", type=Path, metavar="PNG", help="draw the first images of each, theirs below")
    add("--json", type=Path, metavar="FILE", help="write the numbers")
    return made


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print a line for each video and the world."""
    args = parser().parse_args(argv)
    _check(args)
    from mindlong.ops import device
    from mindlong.training.tasks.latent_networks import build_autoencoder

    device.setup(threads=args.threads)
    streams, spec, _ = build_autoencoder(LatentOptions(vae=args.weights, chunk=BATCH), "WHERE")
    if spec.frames_of(3) != 3:
        raise ConfigError(
            f"the autoencoder at {args.weights} makes one latent of several frames; this measures those "
            "that take images one by one"
        )
    divisible(args.size, spec.factor)
    found: dict[str, Fidelity] = {}
    shown: dict[str, np.ndarray] = {}
    print(f"{'':<28} {'PSNR dB':>8} {'SSIM':>7} {'deviation':>10} {'images':>7}")
    for name, images in _sources(args):
        found[name], first = fidelity(streams, batched(images), name)
        shown |= {name: first[0, :PICTURES], f"{name}, given back": first[1, :PICTURES]}
        f = found[name]
        print(
            f"{name:<28} {f.psnr:8.2f} {f.ssim:7.4f} {f.deviation:10.3f} {f.images:7d}", flush=True
        )
    if args.sheet:
        write_contact_sheet(args.sheet, list(shown.values()), list(shown))
    if args.json:
        write_json(args.json, {name: asdict(f) for name, f in found.items()})
    return 0


def batched(images: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """BATCH images at a time, stacked."""
    left = iter(images)
    while part := list(itertools.islice(left, BATCH)):
        yield np.stack(part)


def _check(args: argparse.Namespace) -> None:
    """Raises ConfigError where nothing is asked for, or a number is out of its limits."""
    if not args.videos and not args.world:
        raise ConfigError("nothing to measure: name videos, or give --world shapes or film")
    in_limits(args, WITHIN)
    names_of(args.videos)  # before the networks are loaded


def _sources(args: argparse.Namespace) -> Iterator[tuple[str, Iterable[np.ndarray]]]:
    for path, name in zip(args.videos, names_of(args.videos), strict=True):
        yield name, _frames(path, args)
    if args.world:
        options = DataOptions(kind=args.world, frames=1, size=args.size)
        world = build_source(options, 0)
        with bar(args.count, "images", unit="image") as progress:
            numbers = _counted(range(HELD_OUT, HELD_OUT + args.count), progress.update)
            yield f"{args.world} world", (world.sample(i).frames_FHWC[0] for i in numbers)


def _frames(path: Path, args: argparse.Namespace) -> Iterator[np.ndarray]:
    height, width = args.size
    with open_reader(path) as frames:
        chosen = itertools.islice(frames, 0, None, args.every)
        for frame in itertools.islice(chosen, args.max_frames or None):
            yield fitted(frame, (height, width))


def _counted(numbers: Iterable[int], update: Callable[[], object]) -> Iterator[int]:
    for number in numbers:
        yield number
        update()


def command(argv: Sequence[str] | None = None) -> int:
    """The console entry: `main` with exit codes."""
    return guarded(main, argv)
