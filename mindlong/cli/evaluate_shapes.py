"""Measure generated clips of a synthetic world: do they show the shapes, colours and directions
asked for, steadily, and in the film world the order and the camera?
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from mindlong.cli.common import ToolParser, guarded
from mindlong.cli.run_videos import is_result
from mindlong.data.film import FILM_SHAPES
from mindlong.data.film_captions import only_film, parse_film
from mindlong.data.film_reader import FilmReading
from mindlong.data.shapes import COLOURS, MOTIONS, SHAPES, known_names
from mindlong.data.shapes_reader import FOUR, Reading
from mindlong.media.read import is_video, read_video
from mindlong.media.write import write_contact_sheet
from mindlong.scores.asked import write_json
from mindlong.scores.card import write_card
from mindlong.scores.film import score_films
from mindlong.scores.shapes import Scores, score
from mindlong.scores.worlds import WORLDS
from mindlong.utils.errors import InputFileError
from mindlong.utils.progress import bar
from mindlong.utils.text_file import read_text

EXAMPLES = """examples:
  python tools/evaluate_shapes.py outputs/0001
  python tools/evaluate_shapes.py samples --prompts prompts.json --json scores.json --failures failures.png

The film world is measured where a caption names two objects or a camera that moves, or with --world film.
FOLDER holds one file a sample (MP4, GIF, WebM, AVI, or a folder of PNG frames, the least lossy one counts), in the
order of the prompts. The prompts are a JSON list of captions, or the video.json that infer.py writes.
exit codes: 0 done, 1 failed, 2 bad arguments, 3 bad input file"""
ROWS = 8  # of the sheet of a card
BEST_FIRST = ("", ".gif", ".avi", ".mp4", ".webm")  # "" is a folder of frames


def parser() -> argparse.ArgumentParser:
    """The arguments."""
    made = ToolParser("evaluate_shapes", __doc__, EXAMPLES)
    made.add_argument("folder", type=Path, metavar="FOLDER", help="the samples")
    made.add_argument(
        "--prompts", type=Path, metavar="FILE", help="JSON with the prompts (FOLDER/video.json)"
    )
    made.add_argument(
        "--world", choices=("shapes", "film"), help="which world is shown (as the prompts say)"
    )
    for name, valid in (("shapes", SHAPES), ("colours", COLOURS)):
        made.add_argument(
            f"--{name}",
            nargs="+",
            metavar="NAME",
            help=f"{name} to choose from ({', '.join(valid)}; the film world knows no diamond)",
        )
    made.add_argument(
        "--motions",
        nargs="+",
        metavar="NAME",
        help=f"directions to choose from ({', '.join(FOUR)}; all eight if a prompt has a diagonal one)",
    )
    made.add_argument(
        "--unsure", action="store_true", help="believe the reader also where it is not sure"
    )
    made.add_argument("--json", type=Path, metavar="FILE", help="write rates and readings")
    made.add_argument(
        "--failures", type=Path, metavar="PNG", help="write a contact sheet of what is not right"
    )
    made.add_argument(
        "--card", type=Path, metavar="README", help="write the table into a model's card"
    )
    made.add_argument(
        "--sheet", type=Path, metavar="PNG", help=f"write the first {ROWS} captions' samples"
    )
    return made


def main(argv: Sequence[str] | None = None) -> int:
    """Read the samples, print the table."""
    arguments = parser()
    args = arguments.parse_args(argv)
    if args.card and args.unsure:
        arguments.error("a card counts what the reader is sure of: leave out --unsure or --card")
    prompts = read_prompts(args.prompts or args.folder / "video.json")
    files = sample_files(args.folder, len(prompts))
    film = args.world == "film" or (args.world is None and any(map(only_film, prompts)))
    names = _names(args, prompts, film)
    if args.shapes or args.colours:
        WORLDS["film" if film else "shapes"].check_seen(prompts, *names[:2])
    samples: list[np.ndarray] = []
    measured = score_films if film else score
    scores = measured(_loaded(files, samples), prompts, *names, unsure=args.unsure)
    if args.unsure:
        print("readings count whether the reader is sure of them or not (--unsure)")
    print(scores.table())
    if args.json:
        write_json(args.json, {"unsure": args.unsure, **record(scores, prompts, files)})
    if args.failures:
        _write_failures(args.failures, scores, samples, prompts)
    if args.sheet:
        _write_sheet(args.sheet, samples, prompts)
    if args.card:
        write_card(args.card, scores)
    return 0


def _names(
    args: argparse.Namespace, prompts: Sequence[str], film: bool
) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
    """Shapes, colours and directions that the reader chooses from. Raises ConfigError where the
    world does not know one.
    """
    world, shapes = ("film world", FILM_SHAPES) if film else ("shapes world", SHAPES)
    motions = tuple(MOTIONS) if _diagonal(prompts) else FOUR
    return (
        known_names("shapes", tuple(args.shapes or shapes), shapes, world),
        known_names("colours", tuple(args.colours or COLOURS), COLOURS, world),
        known_names("motions", tuple(args.motions or motions), MOTIONS, world),
    )


def _diagonal(prompts: Sequence[str]) -> bool:
    """Whether one of them names a diagonal direction."""
    said = [parse_film(prompt) for prompt in prompts]
    return any(" " in (named.motion or "") for film in said if film for named in film.objects)


def read_prompts(path: Path) -> list[str]:
    """The prompts of a JSON list (of texts, or of objects with "prompt"), or of an object with such
    a list as "prompts".
    """
    try:
        held = json.loads(read_text(path))
    except OSError as error:
        raise InputFileError(
            f"{path} cannot be read: {error.strerror}; give the prompts with --prompts"
        ) from error
    except ValueError as error:
        raise InputFileError(f"{path} is not JSON: {error}") from error
    rows = held.get("prompts") if isinstance(held, dict) else held
    texts = (
        [r.get("prompt") if isinstance(r, dict) else r for r in rows]
        if isinstance(rows, list)
        else []
    )
    found = [text for text in texts if isinstance(text, str)]
    if not found or len(found) < len(texts):
        raise InputFileError(
            f"{path} holds no prompts; it needs a list of texts, or an object with it as 'prompts'"
        )
    return found


def sample_files(folder: Path, count: int) -> list[Path]:
    """The samples by name, of each the least lossy file, without what a run keeps beside them;
    raises InputFileError if they are not `count`.
    """
    if not folder.is_dir():
        raise InputFileError(f"{folder} is not a folder")
    found: dict[str, Path] = {}
    for path in sorted(p for p in folder.iterdir() if is_video(p) and is_result(p, folder)):
        name = path.name if path.is_dir() else path.stem
        if name not in found or _rank(path) < _rank(found[name]):
            found[name] = path
    if len(found) != count:
        raise InputFileError(f"{folder} holds {len(found)} samples, but there are {count} prompts")
    return [found[name] for name in sorted(found)]


def _rank(path: Path) -> int:
    suffix = "" if path.is_dir() else path.suffix.lower()
    return BEST_FIRST.index(suffix) if suffix in BEST_FIRST else len(BEST_FIRST)


def record(scores: Scores, prompts: Sequence[str], files: Sequence[Path]) -> dict:
    """The scores as JSON can hold them."""
    rates = {
        n: {"hits": r.hits, "total": r.total, "share": r.share, "interval95": r.interval}
        for n, r in scores.rates.items()
    }
    rows = [
        {
            "file": f.name,
            "prompt": p,
            **_reading(r),
            "outline": round(o, 4),
            "background": round(b, 4),
            "right": v,
        }
        for f, p, r, v, o, b in zip(
            files,
            prompts,
            scores.readings,
            scores.verdicts,
            scores.overlaps,
            scores.backgrounds,
            strict=True,
        )
    ]
    return {"rates": rates, "samples": rows}


def _reading(r: Reading | FilmReading) -> dict:
    """What was read, as JSON can hold it."""
    sure = {
        "confidence": round(r.confidence, 3),
        "direction_confidence": round(r.motion_confidence, 3),
        "steady": r.steady,
    }
    if isinstance(r, FilmReading):
        camera = round(r.camera.confidence, 3)
        return {"read": r.text, **sure, "camera_confidence": camera, "problems": r.complaints}
    return {"read": [r.shape, r.colour, r.motion], **sure, "problems": r.problems}


def _loaded(files: Sequence[Path], kept: list[np.ndarray]) -> Iterator[np.ndarray]:
    with bar(len(files), "reading samples", unit="file") as progress:
        for file in files:
            kept.append(read_video(file)[0])
            yield kept[-1]
            progress.update()


def _write_failures(
    path: Path, scores: Scores, samples: list[np.ndarray], prompts: Sequence[str]
) -> None:
    wrong = [i for i, v in enumerate(scores.verdicts) if not v["all"]]
    if not wrong:
        print("no failures: no contact sheet of them is written")
        return
    heads = [f"{prompts[i]} | read: {_said(scores, i)}" for i in wrong]
    write_contact_sheet(path, [samples[i] for i in wrong], heads)


def _write_sheet(path: Path, samples: list[np.ndarray], prompts: Sequence[str]) -> None:
    """Of every caption its first sample, the first `ROWS` captions; single images side by side."""
    chosen = [i for i, text in enumerate(prompts) if text not in prompts[:i]][:ROWS]
    if all(len(samples[i]) == 1 for i in chosen):
        head = f"the first {len(chosen)} captions: {prompts[chosen[0]]}, ..."
        write_contact_sheet(path, np.concatenate([samples[i] for i in chosen])[None], [head])
        return
    write_contact_sheet(path, [samples[i] for i in chosen], [prompts[i] for i in chosen])


def _said(scores: Scores, i: int) -> str:
    r = scores.readings[i]
    sure = "" if r.sure else f", unsure ({r.confidence:.2f})"
    if isinstance(r, FilmReading):
        return "; ".join([r.text + sure, *r.complaints])
    return "; ".join([f"{r.colour} {r.shape} {r.motion}{sure}", *r.problems])


def command(argv: Sequence[str] | None = None) -> int:
    """The console entry: `main` with exit codes."""
    return guarded(main, argv)
