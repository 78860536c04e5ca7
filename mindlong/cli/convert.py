"""Convert a checkpoint: an original's file to ours, or ours back to the original's names.

The direction follows from what the source is. PyTorch is not needed, and nothing in a file is run.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from omegaconf import OmegaConf

from mindlong.checkpoints import convert
from mindlong.checkpoints.convert import Plan
from mindlong.checkpoints.dtypes import CASTS
from mindlong.checkpoints.families.registry import Hit, families
from mindlong.checkpoints.files import WeightFile, open_weights, write_safetensors, write_torch
from mindlong.checkpoints.lazy import Lazy, counted
from mindlong.cli.common import count, guarded
from mindlong.config.load import model_node, parse_overrides, read_yaml
from mindlong.utils import atomic
from mindlong.utils.errors import ConfigError, InputFileError
from mindlong.utils.progress import bar

EXAMPLES = """examples:
  python tools/convert_checkpoint.py --src model-10.pt --dst mine.safetensors
      a trainer's file of video-diffusion-pytorch to ours (its averages; --which model for the others)
  python tools/convert_checkpoint.py --src mine.safetensors --dst back.pt
      and back, with the original's names, for torch.load(weights_only=True)
  python tools/convert_checkpoint.py --src runs/mine --dst mine.pt --allow_partial 'text.*'
      a run of ours to the original's names, without its caption encoder
  python tools/convert_checkpoint.py --src model-10.pt --dst x.safetensors --dry_run
      what would be mapped, what is missing, left over or of another shape

key=value pairs rule over the sizes read off the file, for example long_skip=before_attn.
exit codes: 0 done, 1 failed, 2 bad arguments, 3 a file that is damaged, unsafe, of another kind or does not fit"""
FAMILY, MODEL = "mindlong_family", "mindlong_model"  # in the metadata of converted files
TORCH_SUFFIXES = (".pt", ".pth", ".bin", ".ckpt")


def _parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(prog="convert_checkpoint.py", description=__doc__, epilog=EXAMPLES,
                                   formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--src", required=True, metavar="PATH", help="a weight file, an index of shards, or a folder")
    made.add_argument("--dst", required=True, metavar="FILE", help=".safetensors, or .pt .pth .bin .ckpt for PyTorch")
    made.add_argument("--family", metavar="NAME", help=f"one of {', '.join(families())}; without: by the names")
    made.add_argument("--part", metavar="NAME", help="only this network of the file: unet, vae, text_encoder")
    made.add_argument("--which", choices=("ema", "model"), help="averaged or plain weights; without: averaged if any")
    made.add_argument("--dtype", choices=CASTS, help="cast the floating tensors; without: each stays as it is")
    made.add_argument("--model", metavar="YAML", help="to the original: the model file, if the source has none")
    made.add_argument("--layout", metavar="NAME", help="to the original: which of its ways to name tensors")
    made.add_argument("--form", metavar="NAME", help="to the original, vdm: trainer, diffusion or network")
    made.add_argument("--allow_partial", action="append", default=[], metavar="PATTERN",
                      help="names that may be missing or left over, such as 'text.*'")
    made.add_argument("--inert", action="append", default=[], metavar="PATTERN",
                      help="Python names in the file to step over unbuilt, such as 'pytorch_lightning.*'")
    made.add_argument("--dry_run", action="store_true", help="print what would be done, and stop")
    made.add_argument("--overwrite", action="store_true", help="replace the destination")
    made.add_argument("changes", nargs="*", metavar="key=value", help="sizes that rule over the file's")
    return made


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command."""
    args = _parser().parse_intermixed_args(argv)
    _check_destination(args)
    weights = open_weights(args.src, args.inert)
    hits = convert.recognise(weights, args.which, args.family, args.part)
    ours = {hit.ours for hit in hits}
    if len(ours) > 1:
        raise InputFileError(f"{weights.path} holds our names and an original's; name one network with --part")
    plans = [_export_plan(weights, hit, args) if hit.ours else _import_plan(weights, hit, args) for hit in hits]
    _check_free(args, [Path(args.dst)] if ours == {True} else [Path(args.dst), Path(args.dst).with_suffix(".yaml")])
    _describe(weights, plans)
    for plan in plans:
        plan.check(str(weights.path))
    if args.dry_run:
        print("dry run: nothing was written")
        return 0
    start = time.monotonic()
    written = _export(weights, plans, args) if ours == {True} else _import(weights, plans, args)
    size = sum(path.stat().st_size for path in written)
    print(f"wrote {', '.join(map(str, written))}: {size / 2**20:.1f} MiB in {time.monotonic() - start:.1f} s")
    return 0


def _check_destination(args: argparse.Namespace) -> None:
    dst = Path(args.dst)
    if dst.suffix not in (".safetensors", *TORCH_SUFFIXES):
        raise ConfigError(f"--dst is {dst}; it must end in .safetensors or in one of {' '.join(TORCH_SUFFIXES)}")
    if dst.exists() and Path(args.src).exists() and dst.samefile(args.src):
        raise ConfigError(f"--src and --dst are the same file: {dst}")


def _check_free(args: argparse.Namespace, written: Sequence[Path]) -> None:
    for path in () if args.dry_run or args.overwrite else written:
        if path.exists():
            raise ConfigError(f"{path} exists; give another --dst, or --overwrite to replace it")


def _describe(weights: WeightFile, plans: Sequence[Plan]) -> None:
    print(f"source     {weights.path}: {weights.kind}, {len(weights)} tensors, {weights.bytes() / 2**20:.1f} MiB")
    for note in weights.notes:
        print(f"note       {note}")
    for plan in plans:
        numbers = sum(_numbers(lazy) for lazy in plan.arrays.values())
        print(f"network    {plan.hit.reason}")
        print(f"direction  {'ours -> the original' if plan.hit.ours else 'the original -> ours'}")
        print(f"sizes      {plan.spec}, {count(numbers)} parameters")
        print(f"tensors    {plan.report.summary()}; {plan.beside} more stepped over (buffers, copies, other parts)")
        for line in (*plan.report.lines()[1:], *(f"note       {note}" for note in plan.notes)):
            print(line)


def _numbers(lazy: Lazy) -> int:
    total = 1
    for length in lazy.shape:
        total *= length
    return total


def _import_plan(weights: WeightFile, hit: Hit, args: argparse.Namespace) -> Plan:
    wishes = {key: tuple(v) if isinstance(v, list) else v for key, v in parse_overrides(args.changes).items()}
    if Path(args.dst).suffix in TORCH_SUFFIXES:
        raise ConfigError(f"--dst is {args.dst}, but {weights.path.name} has the original's names already; "
                          "our files end in .safetensors")
    return convert.to_ours(weights, hit, wishes=wishes, allow=args.allow_partial)


def _import(weights: WeightFile, plans: Sequence[Plan], args: argparse.Namespace) -> list[Path]:
    arrays, about, sections = {}, {}, []
    for plan in plans:
        kind = plan.hit.kind
        facts, notes = kind.facts(weights, plan.hit.prefix)
        for note in notes:
            print(f"note       {note}")
        section = kind.section(plan.spec)
        arrays |= {f"{kind.part}.{name}": lazy for name, lazy in plan.arrays.items()}
        about |= {FAMILY: kind.family, MODEL: json.dumps(section), **{f"source_{key}": v for key, v in facts.items()}}
        sections.append(section)
    dst, about = Path(args.dst), {**about, "source": plans[0].hit.kind.about}
    with bar(len(arrays), "converting", unit="tensor") as progress:
        write_safetensors(dst, counted(arrays, progress.update), about, args.dtype)
    model = dst.with_suffix(".yaml")
    head = f"# The network in {dst.name}, as read off {weights.path.name}: a model file for --config key model=\n"
    atomic.write_text(model, head + yaml.safe_dump(sections[0], sort_keys=False))
    return [dst, model]


def _export_plan(weights: WeightFile, hit: Hit, args: argparse.Namespace) -> Plan:
    spec = _model(weights, args).spec()
    return convert.to_original(weights, hit, spec, allow=args.allow_partial, dtype=args.dtype)


def _model(weights: WeightFile, args: argparse.Namespace) -> Any:
    """The typed model section: from --model, from the file itself, or from the configuration beside or above it."""
    section, where = _section(weights, args.model)
    return OmegaConf.to_object(model_node(section, parse_overrides(args.changes), where))


def _section(weights: WeightFile, model: str | None) -> tuple[dict[str, Any], str]:
    if model:
        return read_yaml(model), model
    if MODEL in weights.metadata:
        return json.loads(str(weights.metadata[MODEL])), str(weights.path)
    beside = weights.path.with_suffix(".yaml")
    for path in (beside, *(folder / "config.yaml" for folder in weights.path.absolute().parents[:3])):
        if path.is_file():
            content = read_yaml(path)
            return content.get("model", content), str(path)
    raise ConfigError(f"{weights.path} does not say which network it is; give --model YAML (a file of configs/model)")


def _export(weights: WeightFile, plans: Sequence[Plan], args: argparse.Namespace) -> list[Path]:
    facts = {key.removeprefix("source_"): str(v) for key, v in weights.metadata.items() if key.startswith("source_")}
    if args.form:
        facts["form"] = args.form
    tree: dict[str, Any] = {}
    for plan in plans:
        tree |= plan.hit.kind.pack(plan.arrays, facts)
    dst = Path(args.dst)
    if dst.suffix in TORCH_SUFFIXES:
        write_torch(dst, tree)
    else:
        write_safetensors(dst, _flat(tree))
    return [dst]


def _flat(tree: Mapping[str, Any]) -> dict[str, Any]:
    """The tensors of an export; a safetensors file has no tables around them."""
    nested = [key for key, value in tree.items() if isinstance(value, Mapping)]
    if nested:
        return dict(tree["ema"])
    return dict(tree)


def command(argv: Sequence[str] | None = None) -> int:
    """The console entry: `main` with exit codes."""
    return guarded(main, argv)
