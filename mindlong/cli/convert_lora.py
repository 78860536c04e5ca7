"""The part of the converter for LoRA files: other names for one, or merged into weights."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from mindlong.checkpoints import description
from mindlong.checkpoints.convert import Plan
from mindlong.checkpoints.files import write_safetensors
from mindlong.checkpoints.lora import keys
from mindlong.checkpoints.lora.extract import extract, parts_at
from mindlong.checkpoints.lora.latent import ROLES
from mindlong.checkpoints.lora.merge import Merged, merge
from mindlong.checkpoints.lora.read import is_lora, read_lora
from mindlong.checkpoints.lora.renamed import described, matrices
from mindlong.checkpoints.lora.write import NAMINGS, in_naming
from mindlong.checkpoints.parts import Part
from mindlong.checkpoints.weight_file import WeightFile
from mindlong.config.lora_words import every
from mindlong.config.section import spec_of
from mindlong.networks.table import Match
from mindlong.utils.errors import ConfigError
from mindlong.utils.lines import count
from mindlong.utils.shown import shown

FLAG = "--lora"
OF_WEIGHTS = (  # what says how weights are read, which a LoRA's file does not need
    *("motion", "part", "which", "form", "model", "changes"),
    *("allow_partial", "allow_nonfinite", "inert"),
)


def is_one(weights: WeightFile) -> bool:
    """Whether what is to be converted is a LoRA file."""
    return is_lora(weights.names()) or keys.is_list(weights)


def extracts(args: argparse.Namespace) -> bool:
    """Whether a LoRA is to be extracted. Raises ConfigError for arguments that do not go with
    it.
    """
    if args.extract_lora is None and args.base is None:
        return False
    if args.extract_lora is None or args.base is None:
        raise ConfigError("--extract_lora RANK and --base PATH are given together, or neither")
    if args.extract_lora < 1:
        raise ConfigError(f"--extract_lora is {args.extract_lora}; a rank is at least 1")
    _refuse(args, ("lora", *OF_WEIGHTS), "--extract_lora does not read")
    if args.layout not in (None, *NAMINGS):
        raise ConfigError(
            f"--layout is {args.layout!r}; a LoRA has the names of {', '.join(NAMINGS)}"
        )
    _check_suffix(args)
    return True


def extract_one(args: argparse.Namespace) -> int:
    """Write the LoRA between two sets of weights; returns the exit code.

    Raises:
        InputFileError: a file that is not read, networks of other sizes, or none that differ.
    """
    family = args.family or ""
    tuned, base = parts_at(args.src, "--src", family), parts_at(args.base, "--base", family)
    for role in tuned.keys() ^ base.keys():
        print(f"note       only one of --src and --base has a {role}: it is not compared")
    made = extract(tuned, base, args.extract_lora)
    ranks = sorted({each.rank for each in made.found})
    numbers = sum(each.down.size + each.up.size for each in made.found)
    print(
        f"lora       {len(made.found)} layers of rank {ranks[0]} to {ranks[-1]}, {count(numbers)} numbers: "
        f"{100 * made.kept / made.whole:.1f} % of the difference (of its squared norm)"
    )
    if made.left:
        print(
            f"note       {len(made.left)} tensors differ that no LoRA can hold (biases, norms), "
            f"first {shown(made.left[0])}"
        )
    arrays, about = in_naming(args.layout or NAMINGS[0], made.found)
    if args.dry_run:
        print("dry run: every tensor was read, nothing was written")
        return 0
    write_safetensors(args.dst, arrays, about, args.dtype)
    print(
        f"wrote {shown(args.dst)}: {len(arrays)} tensors in the names of {args.layout or NAMINGS[0]}"
    )
    return 0


def rename(args: argparse.Namespace) -> int:
    """Write a LoRA file in another naming; returns the exit code.

    Raises:
        ConfigError: no naming is asked for, or a destination of another kind.
        InputFileError: a file that is not read, or layers of no known network.
    """
    if args.layout not in NAMINGS:
        raise ConfigError(
            f"{args.src} is a LoRA file; --layout {' or --layout '.join(NAMINGS)} says in which names it is to "
            "be written (weights are merged with it by --lora)"
        )
    _check_suffix(args)
    _refuse(
        args, OF_WEIGHTS, f"{args.src} is a LoRA file, and writing it in other names does not read"
    )
    if args.lora:
        raise ConfigError(
            f"{FLAG} is given; {args.src} is a LoRA file itself, nothing is merged into one"
        )
    file = read_lora(args.src, "--src")
    print("\n".join(shown(f"lora       {line}") for line in described(file)))
    arrays, about = in_naming(args.layout, matrices(file, args.family or ""))
    if args.dry_run:
        print("dry run: every tensor was read, nothing was written")
        return 0
    write_safetensors(args.dst, arrays, about, args.dtype)
    print(f"wrote {shown(args.dst)}: {len(arrays)} tensors in the names of {args.layout}")
    return 0


def _refuse(args: argparse.Namespace, flags: Sequence[str], sentence: str) -> None:
    """Raise ConfigError with the first of `flags` that is given."""
    for flag in flags:
        if getattr(args, flag):
            said = "key=value" if flag == "changes" else f"--{flag}"
            raise ConfigError(f"{sentence} {said}")


def _check_suffix(args: argparse.Namespace) -> None:
    if Path(args.dst).suffix != ".safetensors":
        raise ConfigError(f"--dst is {args.dst}; a LoRA file is written as .safetensors")


def merged_ours(
    weights: WeightFile, matches: Sequence[Match], args: argparse.Namespace
) -> WeightFile:
    """A file of ours with LoRAs merged into its networks."""
    if not args.lora:
        return weights
    model = description.read_model(weights, args.model)
    parts, heads = {}, {}
    for match in matches:
        if match.network.role in ROLES:
            section = description.part_of(model, match.network.part, str(weights.path))
            held = {
                name.removeprefix(match.prefix): lazy
                for name, lazy in weights.rows.items()
                if name.startswith(match.prefix)
            }
            parts[match.network.role] = Part(match.network, spec_of(section), held)
            heads[match.network.role] = match.prefix
    merged = _merged(parts, args)
    rows = {
        heads[role] + name: lazy
        for role, part in merged.parts.items()
        for name, lazy in part.arrays.items()
    }
    return replace(weights, rows={**weights.rows, **rows})


def merged_plans(plans: Sequence[Plan], args: argparse.Namespace) -> list[Plan]:
    """Plans of a conversion to ours with LoRAs merged into their networks."""
    if not args.lora:
        return list(plans)
    parts = {
        plan.format.network.role: Part(plan.format.network, plan.spec, plan.arrays)
        for plan in plans
        if plan.format.network.role in ROLES
    }
    merged = _merged(parts, args)
    return [
        replace(plan, arrays=merged.parts[plan.format.network.role].arrays)
        if plan.format.network.role in merged.parts
        else plan
        for plan in plans
    ]


def _merged(parts: dict[str, Part], args: argparse.Namespace) -> Merged:
    if "network" not in parts:
        raise ConfigError(
            f"{FLAG} is given; {args.src} has no network that a LoRA could be merged into"
        )
    merged = merge(parts, every(args.lora, FLAG), key=FLAG)
    for line in (*merged.rows, *merged.notes):
        print(shown(f"lora       {line}"))
    return merged
