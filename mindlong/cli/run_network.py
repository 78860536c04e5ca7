"""Run one network once on named arrays, to compare a converted network with its original.

  python tools/run_network.py --model configs/model/vdm_dim64.yaml --weights model-10.pt \\
      --inputs in.npz --out out.npz
  python tools/run_network.py --model configs/model/vdm_dim64.yaml --weights run/ \\
      --inputs in.npz --out out.npz --grad

The weights are a folder or file of ours, or an original's file as it is (.pt, .pth, .bin,
.safetensors, .ckpt).

`out` is written. With --grad and an array `probe` shaped like the output, d(sum(out * probe)) too:
`grad_x`, and `grad/NAME` for every trained parameter, NAME and shape as in the file the weights
came from, without what stands before the network's own names there (for ours: the original's usual
names). Frozen tensors have none.

The networks beside the one of the model file have their sizes read off the weights, a folder or a
file that holds them. What shapes do not tell can be given, in the model file or as key=value:
vae.groups=8, text_encoder.heads=2. A model file of their own family serves too.
"""

from __future__ import annotations

import argparse
import textwrap
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from mindlong.cli.common import ToolParser, guarded
from mindlong.cli.tool_parser import COLUMNS
from mindlong.config.command_line import Pair, pairs
from mindlong.config.section import model_of, set_keys
from mindlong.config.yaml_file import read_tree
from mindlong.networks import table
from mindlong.networks.lone import Lone
from mindlong.networks.network import ROLES, Network
from mindlong.utils.atomic import replacing
from mindlong.utils.errors import ConfigError, InputFileError
from mindlong.utils.shown import shown


def _networks() -> str:
    """What can be run, which arrays it takes, and what `out` is: off the table."""
    shown: dict[Lone, list[str]] = {}
    for network in table.networks():
        for lone in network.lone:
            shown.setdefault(lone, []).append(network.family)
    lines = ["networks, by the family of the model file:"]
    for lone, families in shown.items():
        head = f"  --network {lone.name}, of {', '.join(families)}"
        lines.append(textwrap.fill(head, COLUMNS, subsequent_indent="    "))
        for i in lone.inputs:
            needed = "" if i.needed else "; may be left out"
            lines.append(f"      {i.name}: {i.kind}, {i.about}{needed}")
        lines.append(f"      out: {lone.about}")
    return "\n".join(lines)


def _parser() -> argparse.ArgumentParser:
    made = ToolParser("run_network", __doc__, _networks())
    made.add_argument("--model", required=True, metavar="YAML", help="a file of configs/model")
    made.add_argument(
        "--weights", required=True, metavar="PATH", help="weights, ours or the original's"
    )
    made.add_argument("--inputs", required=True, metavar="NPZ", help="the arrays the network takes")
    made.add_argument("--out", required=True, metavar="NPZ", help="where the results are written")
    made.add_argument(
        "--network", metavar="NAME", help="which network of the family; its main one without"
    )
    made.add_argument("--grad", action="store_true", help="gradients of sum(out * probe) too")
    made.add_argument("--device_target", choices=("auto", "CPU", "Ascend"), default="auto")
    made.add_argument("--mode", choices=("graph", "pynative"), default="graph")
    made.add_argument(
        "--native", choices=("auto", "on", "off"), default="auto", help="C++ operators on the CPU"
    )
    made.add_argument(
        "overrides", nargs="*", metavar="key=value", help="keys put over the model file's"
    )
    return made


def read_inputs(path: str | Path) -> dict[str, np.ndarray]:
    """The arrays of an .npz. Raises InputFileError where it is missing or not one."""
    path = Path(path)
    if not path.is_file():
        raise InputFileError(f"--inputs: no file at {path}")
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files}
    except MemoryError:
        raise
    except Exception as error:  # a damaged archive ends in whatever its readers raise
        raise InputFileError(
            f"--inputs: {path} is not an .npz of plain arrays ({shown(str(error), most=120)})"
        ) from None


def write_outputs(path: str | Path, arrays: dict[str, np.ndarray]) -> None:
    """Write an .npz, whole or not at all."""
    if Path(path).suffix != ".npz":
        raise ConfigError(f"--out is {path}; it must end in .npz")
    with replacing(path) as aside:
        np.savez(aside, **arrays)


def _models(args: argparse.Namespace) -> tuple[Any, dict[str, Network], dict[str, dict[str, Any]]]:
    """The typed model, the networks beside it by role, and what file and command line say of
    them.
    """
    tree, given = read_tree(args.model).values, pairs(args.overrides)
    held = {role: tree.pop(role, None) or {} for role in ROLES[1:]}
    own = {role: _own(given, role) for role in held}
    model = model_of(tree, args.model, [p for p in given if p.key.partition(".")[0] not in held])
    named = {role: _family(held[role], own[role]) for role in held if held[role] or own[role]}
    others = table.beside(model.family, named)
    sections = {
        role: named[role] | _said(network, held[role], own[role], f"{args.model}, {role}")
        for role, network in others.items()
        if role in named
    }
    return model, others, sections


def _family(held: Mapping[str, Any], own: list[Pair]) -> dict[str, str]:
    """The family of a network beside the model, where file or command line name one."""
    words = [pair.words for pair in own if pair.key == "family"]
    family = words[-1] if words else held.get("family")
    return {"family": str(family)} if family else {}


def _own(given: Sequence[Pair], role: str) -> list[Pair]:
    """The pairs under the name of a role, without it."""
    cut = len(role) + 1
    return [replace(pair, key=pair.key[cut:]) for pair in given if pair.key.startswith(f"{role}.")]


def _said(network: Network, held: Mapping[str, Any], own: list[Pair], where: str) -> dict[str, Any]:
    """The typed values that file and command line give a network."""
    found = set_keys({"family": network.family, **held}, where, own)
    return {
        key: tuple(value) if isinstance(value, list) else value
        for key, value in found.items()
        if key != "family"
    }


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command."""
    args = _parser().parse_intermixed_args(argv)
    if Path(args.out).suffix != ".npz":
        raise ConfigError(f"--out is {args.out}; it must end in .npz")
    (model, others, sections), given = _models(args), read_inputs(args.inputs)
    from mindlong.ops import device
    from mindlong.pipelines import run_alone

    device.setup(args.device_target, args.mode, native=args.native)
    alone = run_alone.find(model.family, args.network, others)
    if alone.network.family == model.family:
        spec = model.spec()
    else:
        alone, spec = run_alone.at(alone, args.weights, sections.get(alone.network.role, {}))
    run_alone.checked(alone.lone, spec, given, args.grad)  # before large weights are read
    weights = run_alone.read_weights(alone, spec, args.weights)
    began = time.monotonic()
    naming = run_alone.naming_at(alone, args.weights)
    found = run_alone.run(alone, spec, weights, given, args.grad, naming)
    write_outputs(args.out, found)
    print(
        f"{model.family} {alone.lone.name}: out {found['out'].shape}, {len(found)} arrays in {args.out}, "
        f"{time.monotonic() - began:.1f} s with compiling"
    )
    return 0


def command(argv: Sequence[str] | None = None) -> int:
    """The console entry: `main` with exit codes."""
    return guarded(main, argv)
