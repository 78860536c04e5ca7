"""The arguments of the converter."""

from __future__ import annotations

import argparse
from collections.abc import Callable

from mindlong.checkpoints.dtypes import CASTS
from mindlong.cli.common import ToolParser
from mindlong.networks.customs import CUSTOMS
from mindlong.networks.table import families, parts, with_feature

Add = Callable[..., object]  # ArgumentParser.add_argument
EXAMPLES = f"""examples:
  python tools/convert_checkpoint.py --src model-10.pt --dst mine.safetensors
      a trainer's file of video-diffusion-pytorch to ours (its averages; --which model for the others)
  python tools/convert_checkpoint.py --src mine.safetensors --dst back.pt
      and back, with the original's names, for torch.load(weights_only=True)
  python tools/convert_checkpoint.py --src runs/mine --dst mine.pt --allow_partial 'text.*'
      a run of ours to the original's names, without its caption encoder
  python tools/convert_checkpoint.py --src text-to-video-ms-1.7b/ --dst t2v/
      a whole diffusers folder (or ModelScope's three files, or a single .ckpt) to a folder of ours
  python tools/convert_checkpoint.py --src t2v/ --dst again/ --layout diffusers --dtype float16
      and back, to a folder that diffusers loads
  python tools/convert_checkpoint.py --src v1-5-pruned.ckpt --dst tune.safetensors --part unet --family {with_feature("tuning")[0]}
      an image model as the start of a video model
  python tools/convert_checkpoint.py --src dreamshaper.safetensors --motion mm_sd_v15_v2.ckpt --dst animated/
      an image model and motion modules as one network of ours
  python tools/convert_checkpoint.py --src animated/ --part motion --layout guoyww --dst mine.ckpt
      and its motion modules alone, for other programs
  python tools/convert_checkpoint.py --src model-10.pt --dst x.safetensors --dry_run
      what would be mapped, what is missing, left over or of another shape

  python tools/convert_checkpoint.py --src sd15/ --dst styled/ --lora style.safetensors:0.8
      weights with a LoRA merged into them
  python tools/convert_checkpoint.py --src style.safetensors --dst renamed.safetensors --layout diffusers
      a LoRA file in the names of diffusers, or of kohya

  python tools/convert_checkpoint.py --src tuned/ --base sd15/ --extract_lora 16 --dst tuned_lora.safetensors
      what a whole tuning changed, as a LoRA

key=value pairs rule over the sizes read off the file, for example long_skip=before_attn or head_dim=40.
exit codes: 0 done, 1 failed, 2 bad arguments, 3 a file that is damaged, unsafe, of another kind or does not fit"""


def parser(about: str) -> argparse.ArgumentParser:
    """The parser; `about` is what the command does."""
    made = ToolParser("convert", about, EXAMPLES)
    made.add_argument(
        "--src",
        required=True,
        metavar="PATH",
        help="a weight file, an index of shards, or a folder",
    )
    made.add_argument(
        "--dst",
        required=True,
        metavar="PATH",
        help=".safetensors; .pt .pth .bin .ckpt for PyTorch; or a folder",
    )
    made.add_argument(
        "--lora",
        action="append",
        default=[],
        metavar="FILE[:STRENGTH]",
        help="a LoRA file to merge into the weights (docs/lora.md); again for several",
    )
    made.add_argument(
        "--extract_lora",
        type=int,
        metavar="RANK",
        help="write the nearest LoRA of this rank to what --src has changed of --base",
    )
    made.add_argument("--base", metavar="PATH", help="the weights that --src was tuned from")
    for group in (_from_the_file, _to_the_original, _let_pass):
        group(made.add_argument)
    return made


def _from_the_file(add: Add) -> None:
    """Which network and which copy of it."""
    add("--family", metavar="NAME", help=f"one of {', '.join(families())}; without: by the names")
    add("--part", metavar="NAME", help=f"only this network of the file: {', '.join(parts())}")
    add(
        "--which",
        metavar="NAME",
        help="ema or model: averaged or plain weights, or the beginning of a copy's names; without: "
        "averaged if any",
    )
    add(
        "--motion",
        metavar="PATH",
        help="motion modules (AnimateDiff) to be added to the image model in the source",
    )
    add("--dtype", choices=CASTS, help="cast the floating tensors; without: each stays as it is")


def _to_the_original(add: Add) -> None:
    """What the way back has to know."""
    add("--model", metavar="YAML", help="to the original: the model file, if the source has none")
    add(
        "--layout",
        metavar="NAME",
        help=f"to the original: the names of {', '.join(CUSTOMS)}; of a LoRA file: diffusers, kohya",
    )
    add(
        "--form",
        metavar="NAME",
        help="to the original, where its files have several: trainer, diffusion or network",
    )


def _let_pass(add: Add) -> None:
    """What is let pass, and what is only shown."""
    add(
        "--allow_partial",
        action="append",
        default=[],
        metavar="PATTERN",
        help="names that may be missing or left over, such as 'text.*'",
    )
    add(
        "--inert",
        action="append",
        default=[],
        metavar="PATTERN",
        help="Python names in the file to step over unbuilt, such as 'mypackage.*'",
    )
    add(
        "--allow_nonfinite",
        action="append",
        default=[],
        metavar="PATTERN",
        help="tensors of the file that may hold NaN or infinity, such as 'unused.*'",
    )
    add(
        "--dry_run", action="store_true", help="read everything, print what would be done, and stop"
    )
    add("--overwrite", action="store_true", help="replace files that are there")
    add("changes", nargs="*", metavar="key=value", help="sizes that rule over the file's")
