"""Measure interpolation: every n-th frame is kept, the others are made anew and compared with what
was there.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from mindlong.cli.common import guarded
from mindlong.cli.interpolation_arguments import DRAWN, parser, refuse_idle
from mindlong.data.agreement import with_flow
from mindlong.data.film import FilmWorld
from mindlong.data.film_truth import FilmClip
from mindlong.data.flow import METHODS, fill_between
from mindlong.data.shapes import Clip, ShapesWorld
from mindlong.data.transforms import fitted
from mindlong.media.limits import LIMITS
from mindlong.media.read import open_reader, probe
from mindlong.media.write import write_contact_sheet
from mindlong.scores import interpolation as scores
from mindlong.scores.asked import ANY, in_limits, names_of, write_json
from mindlong.utils.errors import ConfigError
from mindlong.utils.progress import bar

NETWORK = "network"
COLUMNS = 9  # frames of a clip on a sheet
WITHIN = {
    "max_frames": (0, ANY),
    "fit": (1, LIMITS.side),
    "shapes": (0, ANY),
    "frames": (1, LIMITS.frames),
    "size": (1, LIMITS.side),
    "first": (0, ANY),
    "speed": (0, 1),  # the whole shorter side a frame
    "steps": (1, ANY),
    "stages": (1, ANY),
    "window": (0, ANY),
    "threads": (0, ANY),
}
MakeAll = Callable[
    [Iterable[np.ndarray], str, int], Iterator[np.ndarray]
]  # (kept frames, caption, number of the clip) -> all frames

Network = Callable[[np.ndarray, str, int], Iterator[np.ndarray]]  # the same of stacked frames


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print a table for videos and one for shapes."""
    made = parser()
    args = made.parse_args(argv)
    if args.every < 2:
        raise ConfigError(f"every is {args.every}; it must be at least 2, else nothing is left out")
    _refuse_numbers(args)
    refuse_idle(made, args)
    if not args.videos and not args.shapes:
        raise ConfigError("nothing to measure: name videos, or give --shapes N")
    methods = dict(_methods(args))
    found: dict[str, object] = {}
    if args.videos:
        found["videos"] = _videos(args, methods)
    if args.shapes:
        found["shapes"] = _shapes(args, methods)
    if args.json:
        write_json(args.json, found)
    return 0


def _refuse_numbers(args: argparse.Namespace) -> None:
    """Raises ConfigError where a number is out of its limits."""
    in_limits(args, WITHIN)
    slowest, fastest = args.speed
    if slowest > fastest:
        raise ConfigError(f"speed is {args.speed}; it must be [slowest, fastest]")


def _methods(args: argparse.Namespace) -> Iterator[tuple[str, MakeAll]]:
    for name in args.methods:
        yield name, partial(_filled, args.every, name)
    if args.weights:
        from mindlong.ops import device
        from mindlong.pipelines.interpolate.clips import clip_filler

        device.setup(threads=args.threads)
        stages = args.stages or [args.every]
        if np.prod(stages) != args.every:
            raise ConfigError(
                f"stages are {stages}, whose product is {np.prod(stages)}; it must be every ({args.every})"
            )
        for pin in args.pin:
            name = NETWORK if len(args.pin) == 1 else f"{NETWORK}, {pin}"
            network = clip_filler(
                args.weights,
                stages,
                hint=args.hint,
                mask=args.mask,
                pin=pin,
                steps=args.steps,
                guidance=args.guidance,
                seed=args.seed,
                reads=args.reads,
                window=args.window,
            )
            for detail in args.detail:
                if detail == "network":
                    yield name, partial(_stacked, network)
                else:
                    yield f"{name} and flow", partial(_agreed, args.every, network)


def _stacked(
    network: Network, kept: Iterable[np.ndarray], caption: str, number: int
) -> Iterator[np.ndarray]:
    """The frames between kept ones, by a network, which takes all of them at once."""
    return network(np.stack(list(kept)), caption, number)


def _agreed(
    every: int, network: Network, kept: Iterable[np.ndarray], caption: str, number: int
) -> Iterator[np.ndarray]:
    """The same, with flow's pixels where flow shows what the network shows."""
    frames = list(kept)
    return with_flow(network(np.stack(frames), caption, number), frames, every)


def _filled(
    every: int, method: str, kept: Iterable[np.ndarray], caption: str, number: int
) -> Iterator[np.ndarray]:
    """The frames between kept ones, by a method that needs no network and no caption."""
    return fill_between(kept, every, METHODS[method])


def _videos(
    args: argparse.Namespace, methods: dict[str, MakeAll]
) -> dict[str, dict[str, dict[str, float]]]:
    """{file: {method: PSNR, SSIM}}; frames are read from the disk again for each method, a few at a
    time.
    """
    found: dict[str, dict[str, dict[str, float]]] = {}
    print(f"{'video':<28} {'method':<18} {'PSNR dB':>8} {'SSIM':>7} {'frames':>7}")
    for path, video in zip(args.videos, names_of(args.videos), strict=True):
        count = probe(path).frames
        count = scores.usable(min(count, args.max_frames or count), args.every)
        for name, fill in methods.items():
            with open_reader(path) as truth, open_reader(path) as again:
                kept = scores.kept(_frames(again, count, args.fit), args.every)
                made = fill(kept, "", 0)
                score = scores.score(_frames(truth, count, args.fit), made, args.every)
            found.setdefault(video, {})[name] = asdict(score)
            print(
                f"{video:<28} {name:<18} {score.psnr:8.2f} {score.ssim:7.4f} {score.frames:7d}",
                flush=True,
            )
    return found


def _frames(
    frames: Iterable[np.ndarray], count: int, size: Sequence[int] | None
) -> Iterator[np.ndarray]:
    for frame in itertools.islice(frames, count):
        yield fitted(frame, (size[0], size[1])) if size else frame


def _shapes(args: argparse.Namespace, methods: dict[str, MakeAll]) -> dict[str, dict[str, float]]:
    """{method: means over the clips}."""
    frames = scores.usable(args.frames, args.every)
    clips = [_world(args, frames).clip(args.first + i) for i in range(args.shapes)]
    print(
        f"\n{len(clips)} clips of the {args.world} world, {frames} frames of {args.size[0]}x{args.size[1]}, every "
        f"{args.every}th kept"
    )
    print(
        f"{'method':<18} {'PSNR dB':>8} {'SSIM':>7} {'position px':>12} {'lost':>6} {'steady':>7} {'right':>6} {'roughness':>10}"
    )

    def truth(kept: Iterable[np.ndarray], caption: str, number: int) -> Iterator[np.ndarray]:
        return iter(clips[number].frames_FHWC)

    found: dict[str, dict[str, float]] = {}
    drawn: dict[str, list[np.ndarray]] = {}
    for name, fill in {"truth": truth, **methods}.items():
        found[name], drawn[name] = _one(args, clips, fill)
        _row(name, found[name])
    if args.sheet:
        _write_sheet(args.sheet, clips, drawn)
    return found


def _write_sheet(
    path: Path, clips: list[Clip | FilmClip], drawn: dict[str, list[np.ndarray]]
) -> None:
    rows, heads = [], []
    for number, clip in enumerate(clips[:DRAWN]):
        for name, videos in drawn.items():
            rows.append(videos[number])
            heads.append(clip.caption if name == "truth" else name)
    write_contact_sheet(path, rows, heads, columns=COLUMNS)


def _world(args: argparse.Namespace, frames: int) -> ShapesWorld | FilmWorld:
    asked = {"shapes": args.outlines, "colours": args.colours}
    named: dict[str, Any] = {key: tuple(names) for key, names in asked.items() if names}
    size, speed = tuple(args.size), tuple(args.speed)
    if args.world == "film":
        if args.bounce:
            raise ConfigError("--bounce belongs to the shapes world; nothing turns back in a film")
        return FilmWorld(size, frames, speed=speed, **named)
    return ShapesWorld(size, frames, bounce=args.bounce, speed=speed, **named)


def _one(
    args: argparse.Namespace, clips: list[Clip | FilmClip], fill: MakeAll
) -> tuple[dict[str, float], list[np.ndarray]]:
    """Means over the clips, and the first videos."""
    pixels, readings, first = [], [], []
    with bar(len(clips), "clips", unit="clip") as progress:
        for number, clip in enumerate(clips):
            made = np.stack(list(fill(clip.frames_FHWC[:: args.every], clip.caption, number)))
            pixels.append(scores.score(clip.frames_FHWC, made, args.every))
            readings.append(scores.score_shapes(clip, made, args.every))
            if number < DRAWN:
                first.append(made)
            progress.update(1)
    means = {name: float(np.mean([getattr(s, name) for s in pixels])) for name in ("psnr", "ssim")}
    return means | scores.mean_shapes(readings), first


def _row(name: str, means: dict[str, float]) -> None:
    print(
        f"{name:<18} {means['psnr']:8.2f} {means['ssim']:7.4f} {means['position']:12.2f} {means['lost']:6.1%} "
        f"{means['steady']:7.1%} {means['right']:6.1%} {means['smoothness']:10.3f}",
        flush=True,
    )


def command(argv: Sequence[str] | None = None) -> int:
    """The console entry: `main` with exit codes."""
    return guarded(main, argv)
