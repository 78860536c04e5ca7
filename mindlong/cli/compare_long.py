"""Compare the ways to a long video: exact, as the original's code, independent clips, the network
itself on all frames, and FreeNoise-style windows. Every video is read back; a table and a plot are
written.

  python tools/compare_long.py --weights shipped:latent_shapes --clips 4 8 --prompts 'a red circle
  moving right' --out compare
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from mindlong.cli.common import ToolParser
from mindlong.cli.long_jobs import JOINT, WAYS, Job, jobs_of, place_of
from mindlong.cli.long_records import checked, frames_of, keep
from mindlong.data.shapes import COLOURS
from mindlong.media.sheet import write_contact_sheet
from mindlong.scores.asked import write_json
from mindlong.scores.intervals import of_mean
from mindlong.scores.long_metrics import coherence
from mindlong.scores.worlds import WORLDS, world_of
from mindlong.utils import look
from mindlong.utils.atomic import write_text
from mindlong.utils.progress import bar

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
        help="videos, table.md, table.json, plot.png, sheet.png; videos that are there and were made of the "
        "same are not made again",
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
    rows = list(_measured(args, jobs_of(args)))
    write_json(args.out / "table.json", rows)
    text = table(rows)
    write_text(args.out / "table.md", text)
    plot(rows, args.out / "plot.png")
    sheet(args)
    print(text)
    return 0


def _measured(args: argparse.Namespace, jobs: Sequence[Job]) -> Iterator[dict]:
    maker, world = None, world_of(args.prompts, args.world)
    # What names nothing, or nothing that is read, is refused before hours of making.
    world.check_seen(args.prompts, world.shapes, tuple(COLOURS))
    inputs = checked(jobs)
    with bar(len(jobs), "videos", unit="video") as progress:
        for job in jobs:
            if not job.is_made:
                maker = maker or _Maker(job.loaded.values)
                keep(job, inputs, maker.make(job))
            frames = frames_of(job.place)
            each = len(frames) // job.clips
            pieces = [range(i * each, (i + 1) * each) for i in range(job.clips)]
            yield {
                "way": job.way,
                "clips": job.clips,
                "prompt": job.prompt,
                **asdict(coherence(frames, job.prompt, pieces, world=world)),
            }
            progress.update()


def sheet(args: argparse.Namespace) -> None:
    """As sheet.png, of the first length: the first prompt's video in every way, or the first
    `ROWS` prompts' where there is one way.
    """
    shown = [(way, 0) for way in args.ways]
    if len(args.ways) == 1:
        shown = [(args.ways[0], number) for number in range(min(ROWS, len(args.prompts)))]
    rows, heads = [], []
    for way, number in shown:
        rows.append(frames_of(place_of(args.out, way, args.clips[0], number)))
        heads.append(f"{way}: {args.prompts[number]}")
    write_contact_sheet(args.out / "sheet.png", rows, heads, columns=COLUMNS)


class _Maker:
    """The networks, kept from video to video."""

    def __init__(self, config: Any) -> None:
        from mindlong.ops import device
        from mindlong.pipelines.clip_parallel.plan import parts_of
        from mindlong.pipelines.load_model import from_parts

        device.setup()
        self.model = from_parts(parts_of(config), config.latent)
        self.model.keep = True  # they are needed again

    def make(self, job: Job) -> np.ndarray:
        """A video's frames."""
        from mindlong.pipelines.clip_parallel.video import video_of

        config = job.loaded.values
        video = video_of(self.model, config)
        latents = video.sample(lambda frames: nullcontext())
        return np.stack(list(self.model.decode(latents)))


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
