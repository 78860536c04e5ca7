"""Compare the ways to a long video: exact, as the original's code, independent clips, the network
itself on all frames, and FreeNoise-style windows. Every video is read back; a table and a plot are
written.

  python tools/compare_long.py --weights shipped:latent_shapes --clips 4 8 --prompts 'a red circle
  moving right' --out compare
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from mindlong import __version__
from mindlong.checkpoints.inputs import Known, change, changed
from mindlong.cli.common import ToolParser
from mindlong.config.command_line import WHERE
from mindlong.config.compare import ABSENT, differences
from mindlong.config.infer_schema import InferConfig
from mindlong.config.leaves import leaves
from mindlong.config.load import Loaded, load
from mindlong.config.pipelines import function, pipeline
from mindlong.config.prompt_file import file_of
from mindlong.config.reads import Reader
from mindlong.config.yaml_file import Tree
from mindlong.media.sheet import write_contact_sheet
from mindlong.media.write import write_video
from mindlong.pipelines.inputs import inputs_of, without_places
from mindlong.scores.asked import write_json
from mindlong.scores.intervals import of_mean
from mindlong.scores.long_metrics import coherence
from mindlong.scores.worlds import WORLDS, world_of
from mindlong.utils import look
from mindlong.utils.arrays import read_npz, write_npz
from mindlong.utils.atomic import write_text
from mindlong.utils.errors import ConfigError, InputFileError
from mindlong.utils.json_file import read_table
from mindlong.utils.progress import bar

PIPELINE = "clip_parallel"
WAYS: dict[str, dict[str, Any]] = {  # keys of the pipeline's own section
    "exact": {"strategy": "exact"},
    "as the original": {"strategy": "video_infinity"},
    "independent clips": {"strategy": "independent"},
    "all frames at once": {"strategy": "exact", "local": "all", "spread": ""},
    "FreeNoise-style": {"strategy": "free_noise"},
    "windows": {"strategy": "windows"},
    "queue": {"strategy": "queue", "stride": 8},
}
NEAR = {"strategy": "exact", "local": "window:15", "spread": ""}
JOINT = {  # for a network whose text and video are one sequence
    f"near, {places}": {**NEAR, "places": places} for places in ("plain", "stretch", "fold")
}
OPTIONS = {  # keys that options of this command stand for
    "weights": "--weights",
    "prompt": "--prompts",
    "prompts": "--prompts",
    "output": "--out",
    f"{PIPELINE}.strategy": "--ways",
    f"{PIPELINE}.clips": "--clips",
    f"{PIPELINE}.lengths": "--clips",
}
SHOWN = ("scenes", "blend")  # each video shows one prompt
RUN = ("save_every", "name", "swaps")  # of a run of infer.py
READER = Reader(
    "compare_long",
    (
        *("seed", "frames", "size", "fps", "steps", "sample", "latent", "lora", "lora_strict"),
        *("prompt_syntax", "long_prompts", PIPELINE),
        *(f"-{key}" for key in OPTIONS),
        *(f"-{PIPELINE}.{key}" for key in (*SHOWN, *RUN)),
    ),
)
FRAMES, RECORD = "frames.npz", "made.json"
WHAT = "the record of a video of compare_long"
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


@dataclass(frozen=True)
class Job:
    """A video that is compared.

    Attributes:
        number: of its prompt, and its seed.
        place: its folder. loaded: what it is made with.
    """

    way: str
    clips: int
    number: int
    prompt: str
    place: Path
    loaded: Loaded

    @property
    def is_made(self) -> bool:
        """Whether its frames are there."""
        return (self.place / FRAMES).exists()


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


def jobs_of(args: argparse.Namespace) -> list[Job]:
    """The videos, their keys checked.

    Raises:
        ConfigError: a way or a length that is given twice, a file for prompts, or a key that is
            none or is not read.
    """
    for option, given in (("--ways", args.ways), ("--clips", args.clips)):
        _refuse_doubles(option, given)
    named = next((prompt for prompt in args.prompts if file_of(prompt)), None)
    if named:
        raise ConfigError(
            f"--prompts: {named} names a file; captions are needed, of a synthetic world"
        )
    return [
        _job(args, way, clips, number)
        for clips in args.clips
        for way in args.ways
        for number in range(len(args.prompts))
    ]


def _refuse_doubles(option: str, given: Sequence[object]) -> None:
    """A prompt may be there twice: its videos differ by their seeds."""
    double = next((one for number, one in enumerate(given) if one in given[:number]), None)
    if double is not None:
        raise ConfigError(
            f"{option} names {double} twice, whose videos would count twice; name it once"
        )


def _job(args: argparse.Namespace, way: str, clips: int, number: int) -> Job:
    place, prompt = _place(args.out, way, clips, number), args.prompts[number]
    tree = {
        "pipeline": PIPELINE,
        "weights": args.weights,
        "prompts": [prompt],
        "seed": number,
        "output": str(place),
        PIPELINE: {**(WAYS | JOINT)[way], "clips": clips},
    }
    loaded = load(None, args.overrides, InferConfig, tree=Tree(f"the way {way!r}", tree))
    _refuse_unread(loaded)
    return Job(way, clips, number, prompt, place, loaded)


def _refuse_unread(loaded: Loaded) -> None:
    """Raise ConfigError where a key is given that would change nothing here, or that an option of
    this command stands for.
    """
    for key, setting in loaded.given.items():
        if setting.place != WHERE or READER.covers(key):
            continue
        instead = f"give {OPTIONS[key]}" if key in OPTIONS else "leave it out"
        raise ConfigError(f"{WHERE}: {key} is not read by {READER.name}; {instead}")


def _checked(jobs: Sequence[Job]) -> Known:
    """The files that all videos start from: overrides hold for all, and a way names none.

    Raises:
        InputFileError: weights, or another file, are missing. ConfigError: a video that is there
            was made of something else, or one that is not could not be made.
    """
    inputs = inputs_of(jobs[0].loaded.values)
    unknown = [job.place for job in jobs if job.is_made and not _is_of(job, inputs)]
    if unknown:
        print(
            f"note: {len(unknown)} videos, the first in {unknown[0]}, keep no {RECORD} with what they were "
            "made of, as an older version left them; they are taken for what is asked for",
            file=sys.stderr,
        )
    planned = {(job.way, job.clips): job for job in reversed(jobs) if not job.is_made}
    for job in planned.values():
        function(pipeline(PIPELINE).plan)(job.loaded)
    return inputs


def _is_of(job: Job, inputs: Known) -> bool:
    """Whether the record of a video that is there says that it was made of this; False where there
    is no record. Raises ConfigError where it says otherwise.
    """
    path = job.place / RECORD
    if not path.exists():
        return False
    record = read_table(path, WHAT)
    before, configuration = (record.get(name) for name in ("inputs", "configuration"))
    if not isinstance(before, dict) or not isinstance(configuration, dict):
        raise InputFileError(f"{path} is not {WHAT}; remove the folder, or give another --out")
    found = [*_other_files(before, inputs), *_other_keys(configuration, job)]
    if found:
        raise ConfigError(
            f"the video in {job.place} was made otherwise than is asked for now; it differs in {', '.join(found)}. "
            "Give the same again, or another --out"
        )
    return True


def _other_files(before: Known, now: Known) -> Iterator[str]:
    """What of the files is another, in words; of weights, not what follows from them."""
    keys = changed(before, now)
    for key in keys:
        base, _, beside = key.partition(" (")
        if beside and base in keys:
            continue
        old, new = (held.get(key, {}).get("path") for held in (before, now))
        renamed = old and new and old != new
        yield f"{key} ({old} then, {new} now)" if renamed else change(key, before, now)


def _other_keys(before: dict[str, Any], job: Job) -> Iterator[str]:
    """What of the keys is another, in words. A key that is newer than the record had its default;
    `steps` is seen in sample.steps.
    """
    now, keys = _configuration(job), leaves(type(job.loaded.values))
    if before == now:  # as nearly always, and sooner told
        return
    for key, old, new in differences(yaml.safe_dump(before), yaml.safe_dump(now)):
        newer = old == ABSENT and key in keys and new == keys[key].default
        if (READER.covers(key) or key in OPTIONS) and key != "steps" and not newer:
            yield f"{key} ({old!r} then, {new!r} now)"


def _configuration(job: Job) -> dict[str, Any]:
    return without_places(job.loaded.text)


def _measured(args: argparse.Namespace, jobs: Sequence[Job]) -> Iterator[dict]:
    maker, world = None, world_of(args.prompts, args.world)
    for prompt in args.prompts:
        world.said(prompt)  # what names nothing is refused before hours of making
    inputs = _checked(jobs)
    with bar(len(jobs), "videos", unit="video") as progress:
        for job in jobs:
            if not job.is_made:
                maker = maker or _Maker(job.loaded.values)
                _keep(job, inputs, maker.make(job))
            frames = _frames(job.place)
            each = len(frames) // job.clips
            pieces = [range(i * each, (i + 1) * each) for i in range(job.clips)]
            yield {
                "way": job.way,
                "clips": job.clips,
                "prompt": job.prompt,
                **asdict(coherence(frames, job.prompt, pieces, world=world)),
            }
            progress.update()


def _keep(job: Job, inputs: Known, frames: np.ndarray) -> None:
    """Write a video's frames, as frames.npz and a GIF, and before them what they were made of: a
    stop leaves no frames without it.
    """
    record = {"configuration": _configuration(job), "inputs": inputs, "mindlong": __version__}
    write_text(job.place / RECORD, json.dumps(record, indent=1) + "\n")
    write_video(job.place / "video.gif", frames, job.loaded.values.fps)
    write_npz(job.place / FRAMES, frames=frames)


def _place(out: Path, way: str, clips: int, number: int) -> Path:
    return out / f"{way.replace(' ', '_')}-{clips}-{number:02d}"


def _frames(place: Path) -> np.ndarray:
    """The frames that were made. Raises InputFileError where their file is damaged."""
    return read_npz(place / FRAMES, ["frames"])["frames"]


def sheet(args: argparse.Namespace) -> None:
    """As sheet.png, of the first length: the first prompt's video in every way, or the first
    `ROWS` prompts' where there is one way.
    """
    shown = [(way, 0) for way in args.ways]
    if len(args.ways) == 1:
        shown = [(args.ways[0], number) for number in range(min(ROWS, len(args.prompts)))]
    rows, heads = [], []
    for way, number in shown:
        rows.append(_frames(_place(args.out, way, args.clips[0], number)))
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
