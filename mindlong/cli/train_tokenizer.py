"""Learn a small CLIP vocabulary (vocab.json, merges.txt) from captions, for a text encoder that is
trained from nothing or goes on from a trained one.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from mindlong.checkpoints.grown_text import PARTS, grown_text
from mindlong.checkpoints.staged import named, staged
from mindlong.cli.common import ToolParser, guarded
from mindlong.data.film import FilmWorld
from mindlong.data.shapes import MOTIONS, ShapesWorld
from mindlong.data.shapes_draw import SHAPES
from mindlong.networks.clip.tokenizer_files import NAMES
from mindlong.networks.clip.tokenizer_training import learn
from mindlong.utils import atomic
from mindlong.utils.errors import ConfigError, InputFileError
from mindlong.utils.text_file import read_text

VOCABULARY, MERGES = "vocab.json", "merges.txt"
EXAMPLES = """examples:
  python tools/train_tokenizer.py --shapes --dst tokenizer
      the words of the shapes world; --film those of the film world
  python tools/train_tokenizer.py --src captions.txt --size 2000 --dst tokenizer
      one caption a line
  python tools/train_tokenizer.py --film --dst words --weights shipped:base_shapes --length 48
      and that model's text encoder, grown to these tokens and to longer prompts: latents.text_weights=words"""


def parser() -> argparse.ArgumentParser:
    """The arguments."""
    made = ToolParser("train_tokenizer", __doc__, EXAMPLES)
    made.add_argument("--src", metavar="FILE", help="text file, one caption a line")
    made.add_argument("--shapes", action="store_true", help="the captions of the shapes world")
    made.add_argument("--film", action="store_true", help="the captions of the film world")
    made.add_argument(
        "--dst", required=True, metavar="FOLDER", help="gets vocab.json and merges.txt"
    )
    made.add_argument(
        "--size",
        type=int,
        default=1000,
        help="most tokens in the vocabulary, at least 514 (default 1000)",
    )
    made.add_argument(
        "--weights",
        metavar="MODEL",
        help="write its CLIP text encoder into --dst too, with the tokens of this vocabulary: those that its own "
        "has too as they are, others from the mean of those that spell them",
    )
    made.add_argument(
        "--length",
        type=int,
        metavar="N",
        help="with --weights: tokens of a prompt (default: its own)",
    )
    return made


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command."""
    args = parser().parse_args(argv)
    if args.length is not None and not args.weights:
        raise ConfigError("--length is of the text encoder of --weights; give that too")
    vocabulary, merges = learn(_captions(args), args.size)
    folder = named(Path(args.dst))
    for name in (*NAMES, MERGES, *(PARTS if args.weights else ())):
        if (folder / name).exists():
            raise ConfigError(f"{folder / name} exists; give another --dst")
    text = grown_text(args.weights, vocabulary, args.length) if args.weights else None
    said = "#version: 0.2\n" + "".join(f"{a} {b}\n" for a, b in merges)
    with staged(folder) as aside:
        made = aside / folder.name
        made.mkdir()
        if text:
            text.write(made)
        atomic.write_text(made / MERGES, said)
        atomic.write_text(made / VOCABULARY, json.dumps(vocabulary, ensure_ascii=False, indent=0))
    also = ", and a text encoder for them" if text else ""
    print(f"wrote {len(vocabulary)} tokens and {len(merges)} merges to {folder}{also}")
    return 0


def _captions(args: argparse.Namespace) -> list[str]:
    if sum(map(bool, (args.shapes, args.film, args.src))) != 1:
        raise ConfigError("give one of --src FILE, --shapes and --film")
    if args.film:
        return FilmWorld(motions=tuple(MOTIONS)).captions()
    if args.shapes:
        return ShapesWorld(
            shapes=SHAPES,
            colours=("red", "green", "blue", "yellow", "magenta", "cyan", "orange"),
            motions=(
                "left",
                "right",
                "up",
                "down",
                "up left",
                "up right",
                "down left",
                "down right",
            ),
        ).captions()
    try:
        return read_text(args.src).splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputFileError(f"--src {args.src}: not readable as text ({error})") from None


def command(argv: Sequence[str] | None = None) -> int:
    """The console entry: `main` with exit codes."""
    return guarded(main, argv)
