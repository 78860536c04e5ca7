"""Measure edited videos: frame consistency, agreement with a text, likeness to the source, flicker.

PSNR, SSIM and flicker need no weights. With --clip, a CLIP model as transformers or open_clip
writes it (ViT-B/32 is usual), the cosines of neighbouring frames, of frames and the prompt, and the
share of frames nearer to the prompt than to the source's are measured too.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mindlong.cli.common import ToolParser, guarded
from mindlong.data.transforms import resize
from mindlong.media.read import read_video
from mindlong.networks.clip.text_spec import ACTIVATIONS
from mindlong.scores.asked import names_of
from mindlong.scores.interpolation import psnr, ssim
from mindlong.utils.atomic import write_text
from mindlong.utils.errors import ConfigError

EXAMPLES = """examples:
  python tools/evaluate_video.py outputs/0001/edit-000.mp4 --source outputs/0001/source.mp4
  python tools/evaluate_video.py edit.mp4 --clip models/clip-vit-base-patch32 --prompt 'a cat' --source_prompt 'a dog'

exit codes: 0 done, 1 failed, 2 bad arguments, 3 bad input file"""

OF_CLIP = ("tokenizer", "activation")


def parser() -> ToolParser:
    """The arguments."""
    made = ToolParser("evaluate_video", __doc__, EXAMPLES)
    made.add_argument(
        "videos", nargs="+", type=Path, metavar="VIDEO", help="files or folders of frames"
    )
    made.add_argument("--source", type=Path, metavar="VIDEO", help="compare with it frame by frame")
    made.add_argument(
        "--prompt",
        action="append",
        default=[],
        help="what a video shows; once for all, or once for each",
    )
    made.add_argument("--source_prompt", default="", help="what the source shows")
    made.add_argument(
        "--clip", type=Path, metavar="PATH", help="folder or weights file of a CLIP model"
    )
    made.add_argument(
        "--tokenizer",
        type=Path,
        metavar="FOLDER",
        help="its vocab.json and merges.txt, where they lie elsewhere",
    )
    made.add_argument(
        "--activation",
        choices=ACTIVATIONS,
        help="of a CLIP in open_clip's naming, where nothing beside it tells",
    )
    made.add_argument("--json", type=Path, metavar="FILE", help="write the numbers")
    return made


def flicker(frames_FHWC: np.ndarray) -> float:
    """Mean absolute second difference over time, in grey levels: 0 for a steady or evenly changing
    image.
    """
    if len(frames_FHWC) < 3:
        return 0.0
    return float(np.abs(np.diff(frames_FHWC.astype(np.float32), 2, axis=0)).mean())


def likeness(frames_FHWC: np.ndarray, source_FHWC: np.ndarray) -> dict[str, float]:
    """Mean PSNR and SSIM over the frames that both have; the source is brought to the video's
    size.
    """
    _, height, width, _ = frames_FHWC.shape
    pairs = [
        (f, resize(s, (height, width))) for f, s in zip(frames_FHWC, source_FHWC, strict=False)
    ]
    return {
        "psnr": float(np.mean([psnr(a, b) for a, b in pairs])),
        "ssim": float(np.mean([ssim(a, b) for a, b in pairs])),
        "compared_frames": len(pairs),
    }


def measure(
    frames_FHWC: np.ndarray,
    source_FHWC: np.ndarray | None,
    scorer: Any,
    prompt: str,
    source_prompt: str,
) -> dict[str, float]:
    """Everything that can be measured with what is given."""
    found: dict[str, float] = {"frames": len(frames_FHWC), "flicker": flicker(frames_FHWC)}
    found |= likeness(frames_FHWC, source_FHWC) if source_FHWC is not None else {}
    return found | (scorer.scores(frames_FHWC, prompt, source_prompt) if scorer else {})


def main(argv: Sequence[str] | None = None) -> int:
    """Read the videos, print a table."""
    made = parser()
    args = made.parse_args(argv)
    names_of(args.videos)  # of a video that is named twice only one row would be left
    _refuse_idle(made, args)
    prompts = args.prompt * len(args.videos) if len(args.prompt) < 2 else args.prompt
    if prompts and len(prompts) != len(args.videos):
        raise ConfigError(
            f"--prompt is given {len(args.prompt)} times for {len(args.videos)} videos; one or as many is right"
        )
    videos = {path: read_video(path)[0] for path in args.videos}
    source = read_video(args.source)[0] if args.source else None
    scorer = _scorer(args) if args.clip else None
    rows = {
        str(path): measure(frames, source, scorer, prompt, args.source_prompt)
        for (path, frames), prompt in zip(
            videos.items(), prompts or [""] * len(videos), strict=True
        )
    }
    for path, row in rows.items():
        print(path, *(f"  {name:<22} {value:10.4f}" for name, value in row.items()), sep="\n")
    if args.json:
        write_text(args.json, json.dumps(rows, indent=1))
    return 0


def _refuse_idle(made: ToolParser, args: argparse.Namespace) -> None:
    """Raises ConfigError where an option has nothing to work on."""
    if (args.prompt or args.source_prompt) and not args.clip:
        raise ConfigError(
            "--prompt needs --clip: agreement with a text is measured through a CLIP model"
        )
    if not args.clip:
        made.refuse_idle(args, OF_CLIP, "belongs to --clip; give --clip PATH too")
    if not any(args.prompt):
        said = "belongs to --prompt, which the frames are to be nearer to; give --prompt too"
        made.refuse_idle(args, ("source_prompt",), said)


def _scorer(args: argparse.Namespace) -> Any:
    from mindlong.ops import device
    from mindlong.scores.video import load_clip

    device.setup("auto", "graph")
    return load_clip(args.clip, args.tokenizer or "", activation=args.activation or "")


def command(argv: Sequence[str] | None = None) -> int:
    """The console entry: `main` with exit codes."""
    return guarded(main, argv)
