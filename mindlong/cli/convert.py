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

import yaml

from mindlong.checkpoints import convert, description, export
from mindlong.checkpoints.convert import Plan
from mindlong.checkpoints.dtypes import CASTS
from mindlong.checkpoints.files import open_weights, write_safetensors
from mindlong.checkpoints.lazy import counted
from mindlong.checkpoints.recognise import recognise
from mindlong.checkpoints.weight_file import WeightFile
from mindlong.cli.common import guarded
from mindlong.config.load import parse_overrides
from mindlong.config.section import spec_of
from mindlong.networks.customs import CUSTOMS
from mindlong.networks.table import Match, families, parts, with_feature
from mindlong.utils import atomic
from mindlong.utils.errors import ConfigError, InputFileError
from mindlong.utils.lines import count
from mindlong.utils.progress import bar

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
  python tools/convert_checkpoint.py --src model-10.pt --dst x.safetensors --dry_run
      what would be mapped, what is missing, left over or of another shape

key=value pairs rule over the sizes read off the file, for example long_skip=before_attn or head_dim=40.
exit codes: 0 done, 1 failed, 2 bad arguments, 3 a file that is damaged, unsafe, of another kind or does not fit"""


def _parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        prog="convert_checkpoint.py",
        description=__doc__,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
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
        "--family", metavar="NAME", help=f"one of {', '.join(families())}; without: by the names"
    )
    made.add_argument(
        "--part", metavar="NAME", help=f"only this network of the file: {', '.join(parts())}"
    )
    made.add_argument(
        "--which",
        choices=("ema", "model"),
        help="averaged or plain weights; without: averaged if any",
    )
    made.add_argument(
        "--dtype", choices=CASTS, help="cast the floating tensors; without: each stays as it is"
    )
    made.add_argument(
        "--model", metavar="YAML", help="to the original: the model file, if the source has none"
    )
    made.add_argument(
        "--layout", metavar="NAME", help=f"to the original: the names of {', '.join(CUSTOMS)}"
    )
    made.add_argument(
        "--form",
        metavar="NAME",
        help="to the original, where its files have several: trainer, diffusion or network",
    )
    made.add_argument(
        "--allow_partial",
        action="append",
        default=[],
        metavar="PATTERN",
        help="names that may be missing or left over, such as 'text.*'",
    )
    made.add_argument(
        "--inert",
        action="append",
        default=[],
        metavar="PATTERN",
        help="Python names in the file to step over unbuilt, such as 'pytorch_lightning.*'",
    )
    made.add_argument("--dry_run", action="store_true", help="print what would be done, and stop")
    made.add_argument("--overwrite", action="store_true", help="replace the destination")
    made.add_argument(
        "changes", nargs="*", metavar="key=value", help="sizes that rule over the file's"
    )
    return made


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command."""
    args = _parser().parse_intermixed_args(argv)
    _check_destination(args)
    weights = open_weights(args.src, args.inert)
    matches = recognise(weights, args.which, args.family, args.part)
    if len({match.ours for match in matches}) > 1:
        raise InputFileError(
            f"{weights.path} holds our names and an original's; name one network with --part"
        )
    outwards = matches[0].ours
    plans = (
        _export_plans(weights, matches, args) if outwards else _import_plans(weights, matches, args)
    )
    _check_free(args, outwards)
    _describe(weights, plans, outwards)
    for plan in plans:
        plan.check(str(weights.path))
    if args.dry_run:
        print("dry run: nothing was written")
        return 0
    start = time.monotonic()
    with bar(sum(len(plan.arrays) for plan in plans), "converting", unit="tensor") as progress:
        plans = [replace(plan, arrays=counted(plan.arrays, progress.update)) for plan in plans]
        written = _export(weights, plans, args) if outwards else _import(weights, plans, args)
    size = sum(path.stat().st_size for path in written)
    print(
        f"wrote {', '.join(map(str, written))}: {size / 2**20:.1f} MiB in {time.monotonic() - start:.1f} s"
    )
    return 0


def _is_folder(path: Path) -> bool:
    return not path.suffix


def _check_destination(args: argparse.Namespace) -> None:
    dst = Path(args.dst)
    if dst.suffix not in ("", ".safetensors", *export.TORCH_SUFFIXES):
        raise ConfigError(
            f"--dst is {dst}; it must be a folder, or end in .safetensors or in one of "
            f"{' '.join(export.TORCH_SUFFIXES)}"
        )
    if dst.exists() and Path(args.src).exists() and dst.samefile(args.src):
        raise ConfigError(f"--src and --dst are the same: {dst}")


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
    print(
        f"source     {weights.path}: {weights.kind}, {len(weights)} tensors, {weights.bytes() / 2**20:.1f} MiB"
    )
    for note in weights.notes:
        print(f"note       {note}")
    for plan in plans:
        numbers = sum(prod(entry.our_shape) for entry in plan.format.entries(plan.spec))
        sizes = ", ".join(
            f"{k} {v}" for k, v in plan.format.network.section(plan.spec).items() if k != "family"
        )
        print(f"network    {plan.match.reason}")
        print(
            f"direction  {f'ours -> {plan.format.title}' if outwards else 'the original -> ours'}"
        )
        print(f"sizes      {count(numbers)} parameters; {sizes or 'as published'}")
        print(
            f"tensors    {plan.report.summary()}; {plan.beside} more stepped over (buffers, copies, other parts)"
        )
        for line in (*plan.report.lines()[1:], *(f"note       {note}" for note in plan.notes)):
            print(line)


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
    return [
        convert.to_ours(
            weights,
            match,
            overrides=_changes(args, match.network.part, match is matches[0]),
            allow=args.allow_partial,
        )
        for match in matches
    ]


def _import(weights: WeightFile, plans: Sequence[Plan], args: argparse.Namespace) -> list[Path]:
    model, (source, remarks) = description.model_of(plans), description.source_of(weights, plans)
    for remark in remarks:
        print(f"note       {remark}")
    dst, about = Path(args.dst), description.metadata(model, source)
    named = [
        {f"{plan.format.part}.{name}": lazy for name, lazy in plan.arrays.items()} for plan in plans
    ]
    if not _is_folder(dst):
        write_safetensors(
            dst,
            {name: lazy for arrays in named for name, lazy in arrays.items()},
            about,
            args.dtype,
        )
        return [dst, _write_model(dst.with_suffix(".yaml"), weights, plans[0])]
    written = export.copy_beside(weights, dst)
    for plan, arrays in zip(plans, named, strict=True):
        path = dst / f"{plan.format.part}.safetensors"
        write_safetensors(path, arrays, about, args.dtype)
        written += [path, _write_model(path.with_suffix(".yaml"), weights, plan)]
    return written


def _write_model(path: Path, weights: WeightFile, plan: Plan) -> Path:
    head = f"# The {plan.format.part} in {path.stem}.safetensors, as read off {weights.path.name}: a file for model=\n"
    section = description.section_of(plan)
    atomic.write_text(
        path, head + yaml.safe_dump(section, sort_keys=False, default_flow_style=None)
    )
    return path


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
    spec, left = spec_of(section), ()
    if form.layout != source.get("layout"):
        spec, left = form.trim(spec)
    target = form.prefix if _is_folder(Path(args.dst)) else export.beginning(form, source, together)
    return convert.to_original(
        weights,
        match,
        spec,
        form=form,
        target=target,
        dtype=args.dtype,
        allow=(*args.allow_partial, *left),
    )


def _export(weights: WeightFile, plans: Sequence[Plan], args: argparse.Namespace) -> list[Path]:
    if _is_folder(Path(args.dst)):
        return export.write_folder(Path(args.dst), plans, weights)
    source = description.read_source(weights)
    if args.form:
        source = {
            plan.format.part: {**source.get(plan.format.part, {}), "form": args.form}
            for plan in plans
        }
    return export.write_file(Path(args.dst), plans, source)


def command(argv: Sequence[str] | None = None) -> int:
    """The console entry: `main` with exit codes."""
    return guarded(main, argv)
