"""What the converter refuses before it reads tensors: arguments that nothing would read, and a
destination in which parts of another model would stay.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mindlong.checkpoints.folders import part_places
from mindlong.checkpoints.join import ROLE
from mindlong.checkpoints.locate import BRANCH
from mindlong.config.command_line import parse_overrides
from mindlong.networks import table
from mindlong.utils.errors import ConfigError, did_you_mean
from mindlong.utils.shown import shown

if TYPE_CHECKING:
    from mindlong.checkpoints.convert import Plan
    from mindlong.checkpoints.weight_file import WeightFile
    from mindlong.networks.table import Match

OUTWARDS = ("layout", "form", "model")  # flags of the way to the original


def unread(args: argparse.Namespace, matches: Sequence[Match], outwards: bool) -> None:
    """Refuse arguments that nothing reads.

    Args:
        matches: the networks that are converted. outwards: to the original.

    Raises:
        ConfigError: naming the first of them.
    """
    parts = list(dict.fromkeys(match.network.part for match in matches))
    _unread_flags(args, outwards)
    _unread_family(args, parts)
    _unread_keys(args, [*parts, *[ROLE] * bool(args.motion)], outwards)


def _unread_flags(args: argparse.Namespace, outwards: bool) -> None:
    for flag in OUTWARDS if not outwards else ():
        if getattr(args, flag):
            raise ConfigError(
                f"--{flag} is read on the way from ours to the original's names; {args.src} has an "
                "original's names and becomes ours. Leave it out"
            )
    if args.form and not Path(args.dst).suffix:
        raise ConfigError(
            f"--form is read where --dst is a file; {args.dst} is a folder, which has one form. Leave it out"
        )


def _unread_family(args: argparse.Namespace, parts: Sequence[str]) -> None:
    """A family of another part than those that are converted says nothing of them."""
    of_family = {n.part for n in table.networks() if n.family == args.family}
    if not of_family or of_family & set(parts):
        return
    fitting = sorted({n.family for n in table.networks() if n.part in parts})
    raise ConfigError(
        f"--family is {args.family}, a {' or '.join(sorted(of_family))}, and a {' and a '.join(parts)} is "
        f"converted.{did_you_mean(args.family, fitting)}"
    )


def _unread_keys(args: argparse.Namespace, parts: Sequence[str], outwards: bool) -> None:
    """Keys of no part. With --part those of the file's other parts may stand there: the same words
    serve for one part after the other.
    """
    known = {*parts, *(table.parts() if args.part else ())}
    together = outwards and len(parts) > 1 and bool(Path(args.dst).suffix)
    for key, value in parse_overrides(args.changes).items():
        if isinstance(value, dict) and key not in known:
            raise ConfigError(
                f"{key}.{next(iter(value), '')}: nothing called {shown(key)} is converted."
                f"{did_you_mean(key, parts)}"
            )
        if not isinstance(value, dict) and together:
            raise ConfigError(
                f"{shown(key)} is given, and {len(parts)} networks go into one file; say of which it is: "
                f"{', '.join(f'{part}.{key}' for part in parts)}"
            )


def would_stay(
    args: argparse.Namespace, plans: Sequence[Plan], weights: WeightFile, outwards: bool
) -> None:
    """Refuse a folder in which parts of another model would stay beside the new ones, and be read
    with them.

    Nothing is removed: whose files they are is not known here.

    Raises:
        ConfigError: naming them.
    """
    folder = Path(args.dst)
    if folder.suffix or not folder.is_dir():
        return
    new = _written(plans, weights, outwards)
    stay = sorted({*part_places(folder), *_branch(folder)}.difference(new))
    if stay:
        more = f" and {len(stay) - 4} more" if len(stay) > 4 else ""
        raise ConfigError(
            f"{args.dst} holds {shown(', '.join(stay[:4]))}{more}, which would stay beside what is written and be "
            "read with it; remove that, or give another --dst"
        )


def _branch(folder: Path) -> list[str]:
    return [BRANCH] * (folder / BRANCH).is_file()


def _written(plans: Sequence[Plan], weights: WeightFile, outwards: bool) -> list[str]:
    """Files and folders of parts that a conversion writes into a folder, and what it copies."""
    if not outwards:
        return [*(f"{plan.format.part}.safetensors" for plan in plans), *weights.beside]
    denoising = [plan.format for plan in plans if plan.format.network.denoiser]
    if denoising and denoising[0].file:
        return [plan.format.file or f"{plan.format.part}.pth" for plan in plans]
    hubs = [(plan.format.network.hub, plan.format.network.part) for plan in plans]
    return [*(hub.folder or part for hub, part in hubs if hub), *weights.beside]
