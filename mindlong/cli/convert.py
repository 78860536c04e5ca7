"""Convert a checkpoint: an original's file to ours, or ours back to the original's names.

The direction follows from what the source is. PyTorch is not needed, and nothing in a file is run.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import prod
from pathlib import Path
from typing import Any

from mindlong.checkpoints import convert, convert_back, description, export
from mindlong.checkpoints.convert import Plan
from mindlong.checkpoints.dtypes import cast_target
from mindlong.checkpoints.files import open_weights
from mindlong.checkpoints.finite import Watch
from mindlong.checkpoints.import_files import write_ours
from mindlong.checkpoints.join import ROLE, joined_plan, without_scheduler
from mindlong.checkpoints.lazy import counted, total_bytes
from mindlong.checkpoints.recognise import recognise
from mindlong.checkpoints.staged import named, staged
from mindlong.checkpoints.weight_file import WeightFile
from mindlong.cli import convert_checks, convert_lora
from mindlong.cli.common import guarded
from mindlong.cli.convert_arguments import parser
from mindlong.config.command_line import parse_overrides
from mindlong.config.section import spec_of
from mindlong.networks.table import Match
from mindlong.utils.errors import ConfigError, InputFileError
from mindlong.utils.lines import count
from mindlong.utils.progress import bar
from mindlong.utils.shown import shown

LET_PASS = ". --allow_nonfinite 'PATTERN' lets tensors pass that the network has no use for"
ALLOW = "--allow_partial 'PATTERN' lets names pass that may be missing or left over"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command."""
    args = parser(__doc__).parse_intermixed_args(argv)
    _check_destination(args)
    if convert_lora.extracts(args):
        _check_free(args, outwards=True)
        return convert_lora.extract_one(args)
    weights = open_weights(args.src, args.inert)
    if args.motion:
        weights = without_scheduler(weights)
    if convert_lora.is_one(weights):
        _check_free(args, outwards=True)
        return convert_lora.rename(args)
    watch = Watch(str(weights.path), tuple(args.allow_nonfinite))
    weights = replace(weights, rows=watch.over(weights.rows))
    matches, outwards = _direction(weights, args)
    convert_checks.unread(args, matches, outwards)
    if outwards:
        weights = convert_lora.merged_ours(weights, matches, args)
        plans = _export_plans(weights, matches, args)
    else:
        plans = _import_plans(weights, matches, args)
    _check_free(args, outwards)
    convert_checks.would_stay(args, plans, weights, outwards)
    _describe(weights, plans, outwards)
    for plan in plans:
        plan.check(str(weights.path), ALLOW)
    if not outwards:
        plans = convert_lora.merged_plans(plans, args)
    start = time.monotonic()
    written = _done(weights, plans, outwards, args, watch)
    if args.dry_run:
        print("dry run: every tensor was read, nothing was written")
        return 0
    size = sum(path.stat().st_size for path in written)
    place = shown(", ".join(map(str, written)))
    print(f"wrote {place}: {size / 2**20:.1f} MiB in {time.monotonic() - start:.1f} s")
    return 0


def _direction(weights: WeightFile, args: argparse.Namespace) -> tuple[list[Match], bool]:
    """The networks of a file, and whether they have our names. Raises InputFileError,
    ConfigError.
    """
    matches = recognise(weights, args.which, args.family, args.part)
    if len({match.ours for match in matches}) > 1:
        raise InputFileError(
            f"{weights.path} holds our names and an original's; name one network with --part"
        )
    if args.motion and matches[0].ours:
        raise ConfigError(
            "--motion goes with an image model under an original's names; for one of ours, export it first, or give "
            "infer.py latent.motion=FILE"
        )
    return matches, matches[0].ours


def _done(
    weights: WeightFile,
    plans: Sequence[Plan],
    outwards: bool,
    args: argparse.Namespace,
    watch: Watch,
) -> list[Path]:
    """The files written, under a bar over all tensors; none with --dry_run."""
    what = "reading" if args.dry_run else "converting"
    with bar(sum(len(plan.arrays) for plan in plans), what, unit="tensor") as progress:
        plans = [replace(plan, arrays=counted(plan.arrays, progress.update)) for plan in plans]
        made = _tried(plans, args) if args.dry_run else None
        written = _written(weights, plans, outwards, args, watch) if made is None else made
    watch.refuse(LET_PASS)
    return written


def _tried(plans: Sequence[Plan], args: argparse.Namespace) -> list[Path]:
    """Read and cast every tensor as the conversion would."""
    for plan in plans:
        for name, lazy in plan.arrays.items():
            lazy.stored(cast_target(lazy.dtype, args.dtype), name)
    return []


def _written(
    weights: WeightFile,
    plans: Sequence[Plan],
    outwards: bool,
    args: argparse.Namespace,
    watch: Watch,
) -> list[Path]:
    """Write the result, whole or not at all; returns its files."""
    dst = named(Path(args.dst))
    with staged(dst, sum(total_bytes(plan.arrays.values()) for plan in plans)) as aside:
        if outwards:
            files, remarks = _export(weights, plans, aside / dst.name, args), list[str]()
        else:
            files, remarks = write_ours(aside / dst.name, plans, weights, args.dtype)
        watch.refuse(LET_PASS)
    for remark in remarks:
        print(f"note       {shown(remark)}")
    return [dst.parent / path.relative_to(aside) for path in files]


def _is_folder(path: Path) -> bool:
    return not path.suffix


def _check_destination(args: argparse.Namespace) -> None:
    dst = Path(args.dst)
    if dst.suffix not in ("", ".safetensors", *export.TORCH_SUFFIXES):
        raise ConfigError(
            f"--dst is {dst}; it must be a folder, or end in .safetensors or in one of "
            f"{' '.join(export.TORCH_SUFFIXES)}"
        )
    for name, path in (("--src", args.src), ("--base", args.base)):
        if path and dst.exists() and Path(path).exists() and dst.samefile(path):
            raise ConfigError(f"{name} and --dst are the same: {dst}")
    if args.base and dst.exists() and dst.resolve().is_relative_to(Path(args.base).resolve()):
        raise ConfigError(f"--dst is {dst}, which is part of --base; give another place")


def _check_free(args: argparse.Namespace, outwards: bool) -> None:
    if args.dry_run or args.overwrite:
        return
    dst = Path(args.dst)
    if _is_folder(dst):
        taken = [dst] if dst.is_dir() and any(dst.iterdir()) or dst.is_file() else []
    else:
        taken = [
            path
            for path in (dst, *([] if outwards else [dst.with_suffix(".yaml")]))
            if path.exists()
        ]
    for path in taken:
        raise ConfigError(f"{path} exists; give another --dst, or --overwrite to replace it")


def _describe(weights: WeightFile, plans: Sequence[Plan], outwards: bool) -> None:
    size = f"{weights.bytes() / 2**20:.1f} MiB"
    lines = [f"source     {weights.path}: {weights.kind}, {len(weights)} tensors, {size}"]
    lines += [f"note       {note}" for note in weights.notes]
    for plan in plans:
        numbers = sum(prod(entry.our_shape) for entry in plan.format.entries(plan.spec))
        section = plan.format.network.section(plan.spec).items()
        sizes = ", ".join(f"{k} {v}" for k, v in section if k != "family")
        lines += [
            f"network    {plan.match.reason}",
            f"direction  {f'ours -> {plan.format.title}' if outwards else 'the original -> ours'}",
            f"sizes      {count(numbers)} parameters; {sizes or 'as published'}",
            f"tensors    {plan.report.summary()}; {plan.beside} more stepped over (buffers, copies, other parts)",
            *plan.report.lines()[1:],
            *(f"note       {note}" for note in plan.notes),
        ]
    print("\n".join(shown(line) for line in lines))


def _changes(args: argparse.Namespace, part: str, first: bool) -> dict[str, Any]:
    """The key=value pairs that concern a part: those under its name, and for the first part the
    plain ones.
    """
    tree = parse_overrides(args.changes)
    plain = (
        {key: value for key, value in tree.items() if not isinstance(value, dict)} if first else {}
    )
    inner = tree.get(part)
    found = {**plain, **(inner if isinstance(inner, dict) else {})}
    return {key: tuple(v) if isinstance(v, list) else v for key, v in found.items()}


def _import_plans(
    weights: WeightFile, matches: Sequence[Match], args: argparse.Namespace
) -> list[Plan]:
    if Path(args.dst).suffix in export.TORCH_SUFFIXES:
        raise ConfigError(
            f"--dst is {args.dst}, but {weights.path.name} has the original's names already; "
            "our files end in .safetensors"
        )
    plans = [
        convert.to_ours(
            weights,
            match,
            overrides=_changes(args, match.network.part, match is matches[0]),
            allow=args.allow_partial,
        )
        for match in matches
    ]
    return _with_motion(plans, args) if args.motion else plans


def _with_motion(plans: Sequence[Plan], args: argparse.Namespace) -> list[Plan]:
    held = open_weights(args.motion, args.inert)
    changes = _changes(args, ROLE, False)
    denoising = [plan for plan in plans if plan.format.network.denoiser]
    if not denoising:
        raise InputFileError(f"{args.src} holds no network that --motion could be added to")
    return [joined_plan(plan, held, changes) if plan in denoising else plan for plan in plans]


def _export_plans(
    weights: WeightFile, matches: Sequence[Match], args: argparse.Namespace
) -> list[Plan]:
    model, source = description.read_model(weights, args.model), description.read_source(weights)
    together = len(matches) > 1 and not _is_folder(Path(args.dst))
    layout = args.layout or (
        "diffusers" if _is_folder(Path(args.dst)) and len(matches) > 1 else None
    )
    return [
        _export_plan(
            weights, match, args, layout, together, model, source.get(match.network.part, {})
        )
        for match in matches
    ]


def _export_plan(
    weights: WeightFile,
    match: Match,
    args: argparse.Namespace,
    layout: str | None,
    together: bool,
    model: Mapping[str, Any],
    source: Mapping[str, str],
) -> Plan:
    section = {
        **description.part_of(model, match.network.part, str(weights.path)),
        **_changes(args, match.network.part, not together),
    }
    form = export.naming(
        section.get("family", match.network.family), match.network.part, layout, source
    )
    spec = spec_of(section)
    left: tuple[str, ...] = ()
    if form.layout != source.get("layout"):
        spec, left = form.trim(spec)
    target = form.prefix if _is_folder(Path(args.dst)) else export.beginning(form, source, together)
    return convert_back.to_original(
        weights,
        match,
        spec,
        form=form,
        target=target,
        dtype=args.dtype,
        allow=(*args.allow_partial, *left),
    )


def _export(
    weights: WeightFile, plans: Sequence[Plan], target: Path, args: argparse.Namespace
) -> list[Path]:
    if _is_folder(target):
        return export.write_folder(target, plans, weights)
    source = description.read_source(weights)
    if args.form:
        source = {
            plan.format.part: {**source.get(plan.format.part, {}), "form": args.form}
            for plan in plans
        }
    return export.write_file(target, plans, source)


def command(argv: Sequence[str] | None = None) -> int:
    """The console entry: `main` with exit codes."""
    return guarded(main, argv)
