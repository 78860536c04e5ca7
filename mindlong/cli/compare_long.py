"""Compare the ways to a long video: exact, as the original's code, independent clips, the network
itself on all frames, and FreeNoise-style windows. Every video is read back; a table and a plot are
written.

  python tools/compare_long.py --weights shipped:latent_shapes --clips 4 8 --prompts 'a red circle
  moving right' --out compare
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path

import numpy as np

from mindlong.cli.common import ToolParser
from mindlong.config.infer_schema import InferConfig
from mindlong.config.load import load
from mindlong.media.sheet import write_contact_sheet
from mindlong.scores.intervals import of_mean
from mindlong.scores.long_metrics import coherence
from mindlong.scores.worlds import WORLDS, world_of
from mindlong.utils import look
from mindlong.utils.arrays import write_npz
from mindlong.utils.atomic import write_text
from mindlong.utils.progress import bar

WAYS = {
    "exact": ["strategy=exact"],
    "as the original": ["strategy=video_infinity"],
    "independent clips": ["strategy=independent"],
    "all frames at once": ["strategy=exact", "local=all", "spread=''"],
    "FreeNoise-style": ["strategy=free_noise"],
    "windows": ["strategy=windows"],
    "queue": ["strategy=queue", "stride=8"],
}
NEAR = ["strategy=exact", "local=window:15", "spread=''"]
JOINT = {  # for a network whose text and video are one sequence
    f"near, {places}": [*NEAR, f"places={places}"] for places in ("plain", "stretch", "fold")
}
FIGURES = ("right", "constant", "steady", "seam", "step", "background")
ROWS, COLUMNS = 8, 16  # of the sheet: videos, where there is one way; frames of each


def parser() -> argparse.ArgumentParser:
    """The arguments."""
    made = ToolParser("compare_long", __doc__)
    made.add_argument(
        "--weights", default="shipped:latent_shapes", help="a latent pipeline of a synthetic world"
    )
    made.add_argument(
        "--clips", type=int, nargs="+", default=[4, 8], help="lengths, in clips as long as trained"
    )
    made.add_argument(
        "--prompts",
        nargs="+",
        default=["a red circle moving right"],
        help="captions of a synthetic world",
    )
    made.add_argument(
        "--world", choices=tuple(WORLDS), help="which world is shown (as the prompts say)"
    )
    made.add_argument(
        "--ways",
        nargs="+",
        metavar="WAY",
        choices=(*WAYS, *JOINT),
        default=list(WAYS),
        help=f"what to compare: {', '.join(WAYS)}; of CogVideoX also {'; '.join(JOINT)}",
    )
    made.add_argument(
        "--out",
        type=Path,
        required=True,
        metavar="FOLDER",
        help="videos, table.md, table.json, plot.png, sheet.png",
    )
    made.add_argument(
        "overrides",
        nargs="*",
        metavar="key=value",
        help="keys of infer.py for all, for example sample.steps=20",
    )
    return made


def main(argv: Sequence[str] | None = None) -> int:
    """Make the videos that are not there yet, read them, write table, plot and sheet."""
    args = parser().parse_intermixed_args(argv)
    rows = list(_measured(args))
    write_text(args.out / "table.json", json.dumps(rows, indent=1) + "\n")
    text = table(rows)
    write_text(args.out / "table.md", text)
    plot(rows, args.out / "plot.png")
    sheet(args)
    print(text)
    return 0


def _measured(args: argparse.Namespace) -> Iterator[dict]:
    jobs = [
        (way, clips, number)
        for clips in args.clips
        for way in args.ways
        for number in range(len(args.prompts))
    ]
    maker, world = None, world_of(args.prompts, args.world)
    with bar(len(jobs), "videos", unit="video") as progress:
        for way, clips, number in jobs:
            place = _place(args.out, way, clips, number)
            if not (place / "frames.npz").exists():
                maker = maker or _Maker(args.weights)
                maker.make(
                    place,
                    [
                        "pipeline=clip_parallel",
                        f"weights={args.weights}",
                        f"clips={clips}",
                        f"output={place}",
                        f"prompts=['{args.prompts[number]}']",
                        f"seed={number}",
                        *(WAYS | JOINT)[way],
                        *args.overrides,
                    ],
                )
            with np.load(place / "frames.npz") as held:
                frames = held["frames"]
            each = len(frames) // clips
            pieces = [range(i * each, (i + 1) * each) for i in range(clips)]
            yield {
                "way": way,
                "clips": clips,
                "prompt": args.prompts[number],
                **asdict(coherence(frames, args.prompts[number], pieces, world=world)),
            }
            progress.update()


def _place(out: Path, way: str, clips: int, number: int) -> Path:
    return out / f"{way.replace(' ', '_')}-{clips}-{number:02d}"


def sheet(args: argparse.Namespace) -> None:
    """As sheet.png, of the first length: the first prompt's video in every way, or the first
    `ROWS` prompts' where there is one way.
    """
    shown = [(way, 0) for way in args.ways]
    if len(args.ways) == 1:
        shown = [(args.ways[0], number) for number in range(min(ROWS, len(args.prompts)))]
    rows, heads = [], []
    for way, number in shown:
        with np.load(_place(args.out, way, args.clips[0], number) / "frames.npz") as held:
            rows.append(held["frames"])
        heads.append(f"{way}: {args.prompts[number]}")
    write_contact_sheet(args.out / "sheet.png", rows, heads, columns=COLUMNS)


class _Maker:
    """The networks, kept from video to video."""

    def __init__(self, weights: str) -> None:
        from mindlong.ops import device
        from mindlong.pipelines.load_model import load_latent_model

        device.setup()
        self.model = load_latent_model(weights)
        self.model.keep = True  # they are needed again

    def make(self, place: Path, pairs: list[str]) -> None:
        """A video's frames, as frames.npz and a GIF."""
        from mindlong.media.write import write_video
        from mindlong.pipelines.clip_parallel.video import video_of

        config = load(None, pairs, InferConfig).values
        video = video_of(self.model, config)
        latents = video.sample(lambda frames: nullcontext())
        frames = np.stack(list(self.model.decode(latents)))
        place.mkdir(parents=True, exist_ok=True)
        write_video(place / "video.gif", frames, config.fps)
        write_npz(place / "frames.npz", frames=frames)


def table(rows: Sequence[dict]) -> str:
    """Markdown: means over prompts, a line for each way and length; shares in percent with their
    95 % intervals over videos.
    """
    lines = [
        "| way | clips | videos | shape and colour right | constant over clips | steady | seam ratio | step ratio | background |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for clips, way in dict.fromkeys((r["clips"], r["way"]) for r in rows):
        part = [r for r in rows if (r["clips"], r["way"]) == (clips, way)]
        shares = " | ".join(_share([r[name] for r in part]) for name in FIGURES[:3])
        others = " | ".join(f"{_mean([r[name] for r in part]):.2f}" for name in FIGURES[3:])
        lines.append(f"| {way} | {clips} | {len(part)} | {shares} | {others} |")
    return "\n".join(lines) + "\n"


def _share(values: Sequence[float]) -> str:
    found = of_mean(values)
    return f"{100 * found.mean:.0f} % ({100 * found.low:.0f} to {100 * found.high:.0f})"


def _mean(values: Sequence[float]) -> float:
    known = [v for v in values if np.isfinite(v)]
    return float(np.mean(known)) if known else float("nan")


def plot(rows: Sequence[dict], path: Path) -> None:
    """Constancy against the seam ratio, a mark for each way and length."""
    with look.plot(path, 6.4, 4.2, dpi=120) as figure:
        axes = figure.subplots()
        for number, way in enumerate(dict.fromkeys(r["way"] for r in rows)):
            colour = look.COLOURS[number % len(look.COLOURS)]
            for clips, mark in zip(dict.fromkeys(r["clips"] for r in rows), "osD^v", strict=False):
                part = [r for r in rows if (r["way"], r["clips"]) == (way, clips)]
                axes.plot(
                    _mean([r["seam"] for r in part]),
                    100 * _mean([r["constant"] for r in part]),
                    mark,
                    color=colour,
                    label=f"{way}, {clips} clips",
                )
        axes.axvline(1.0, color=look.LINE, zorder=0)
        axes.set(
            xlabel="change at joints / change elsewhere (1: no seams)",
            ylabel="same object from clip to clip (%)",
            ylim=(-5, 105),
        )
        axes.legend()
