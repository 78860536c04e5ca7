"""Counts what the compiled graph of a configuration is made of, so that graphs that suit no NPU are
seen without one.

  python tools/graph_report.py configs/train/vdm_shapes.yaml
  python tools/graph_report.py configs/model/modelscope_tiny.yaml --work forward --shape 16 32 32
  --dtype float16 --chip 910b

The graph is the one MindSpore hands to its backends, with plain operators and attention in its
plain form (--attention changes that), so it is the same for a CPU and an NPU. Each operator is
counted as one kernel that reads its inputs and writes its outputs once; reshapes and other views
are free. Transposes, casts, slices and copies move bytes and compute nothing; --by line and --by
scope say which of our lines, or which of the network's cells, they come from.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
import tempfile
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1]))

from graph.chips import type_lines  # noqa: E402
from graph.ir import HOSTILE, Operator, operators  # noqa: E402
from graph.origin import WAYS, by_origin  # noqa: E402
from graph.roofline import CHIPS, roofline_lines  # noqa: E402

from mindlong.utils.errors import ConfigError  # noqa: E402

Add = Callable[..., object]  # ArgumentParser.add_argument


def _parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        prog="graph_report.py",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("config", help="a training configuration, or a model file of a UNet")
    made.add_argument(
        "overrides", nargs="*", metavar="key=value", help="keys put over the configuration's"
    )
    made.add_argument(
        "--work",
        choices=("forward", "train"),
        default="train",
        help="forward, or loss and gradients (%(default)s)",
    )
    for group in (_of_the_graph, _of_the_report):
        group(made.add_argument)
    return made


def _of_the_graph(add: Add) -> None:
    """What is compiled, at which sizes, for which chip."""
    add("--batch", type=int, default=1, help="samples (%(default)s)")
    add(
        "--shape",
        type=int,
        nargs=3,
        default=(8, 16, 16),
        metavar=("F", "H", "W"),
        help="of a model file's input",
    )
    add(
        "--dtype",
        choices=("float32", "float16", "bfloat16"),
        default="float32",
        help="of the network's operators (%(default)s)",
    )
    add(
        "--chip",
        choices=("910a", "910b"),
        default="910b",
        help="whose graph it is: a 910A scales layers that are kept in float32 (%(default)s)",
    )
    add(
        "--attention",
        default="math",
        metavar="BACKEND",
        help="backend of the attentions (%(default)s)",
    )
    add(
        "--only",
        action="append",
        default=[],
        metavar="PATTERN",
        help="a shell pattern of the parameters of a model file's network that learn; all do "
        "without one; may be given again",
    )
    add(
        "--bare",
        action="store_true",
        help="weights share one block of zeros: for networks whose weights do not fit in memory",
    )


def _of_the_report(add: Add) -> None:
    """What is said of it."""
    add(
        "--top",
        type=int,
        default=8,
        help="how many of the costliest operators to list (%(default)s)",
    )
    add(
        "--by",
        choices=WAYS,
        help="list what moves bytes and computes nothing by the line of ours that made it, or by "
        "the cell of the network; of what a gradient moves MindSpore often names the line alone",
    )
    add(
        "--roofline",
        choices=tuple(CHIPS),
        help="the least time that a chip needs for the operators, and the parts of the network "
        "that cost most of it; by vendor figures, with --dtype float16",
    )
    add("--json", metavar="FILE", help="the counts as JSON too")


def dump(args: argparse.Namespace, folder: str) -> str:
    """Compile the graph and return its text. MindSpore reads where to write when it is first
    loaded.
    """
    os.environ.update(
        MS_DEV_SAVE_GRAPHS="1",
        MS_DEV_SAVE_GRAPHS_PATH=folder,
        MS_DEV_DUMP_IR_PASSES="validate",
        GLOG_v="3",
    )
    from graph.nets import build, share_weights

    from mindlong.ops import attention, device

    device.setup("CPU", "graph", native="off")
    device.build_for(args.chip)
    attention.use(args.attention)
    halves = args.work == "forward" and args.dtype == "float16"  # a training's are float32
    block = share_weights("float16" if halves else "float32")
    with block if args.bare else contextlib.nullcontext():
        cell, tensors = build(
            args.config,
            args.overrides,
            args.work,
            tuple(args.shape),
            args.batch,
            args.dtype,
            filled=not args.bare,
            only=args.only,
        )
    with contextlib.suppress(RuntimeError, TypeError):  # a CPU lacks kernels; the graph is written
        cell.compile(*tensors)
    return "\n".join(p.read_text() for p in sorted(Path(folder).glob("**/*_validate_*.ir")))


def table(found: list[Operator]) -> dict[str, dict[str, float]]:
    """For each kind the number of operators and the bytes they move, the most bytes first."""
    kinds: dict[str, dict[str, float]] = defaultdict(lambda: {"operators": 0, "bytes": 0})
    for op in found:
        kinds[op.kind]["operators"] += 1
        kinds[op.kind]["bytes"] += op.moved
    return dict(sorted(kinds.items(), key=lambda item: -item[1]["bytes"]))


def lines(found: list[Operator], top: int) -> list[str]:
    """The report, in Markdown."""
    kinds = table(found)
    whole = sum(k["bytes"] for k in kinds.values()) or 1
    out = ["| kind | operators | MB moved | share |", "|---|---|---|---|"]
    out += [
        f"| {kind} | {k['operators']} | {k['bytes'] / 1e6:.1f} | {k['bytes'] / whole:.0%} |"
        for kind, k in kinds.items()
    ]
    hostile = [op for op in found if op.kind in HOSTILE]
    moved = sum(op.moved for op in hostile)
    out.append(f"| **all** | {len(found)} | {whole / 1e6:.1f} | |")
    out.append(
        f"| **move and compute nothing** | {len(hostile)} | {moved / 1e6:.1f} | {moved / whole:.0%} |"
    )
    costly = sorted(hostile, key=lambda op: -op.moved)[:top]
    return (
        out
        + ["", "The largest of these:"]
        + [f"- {op.name} {op.shape}: {op.moved / 1e6:.2f} MB" for op in costly]
    )


def main(argv: list[str] | None = None) -> int:
    """The command."""
    args = _parser().parse_intermixed_args(argv)
    with tempfile.TemporaryDirectory() as folder:
        found = operators(dump(args, folder))
    if not found:
        raise ConfigError("MindSpore wrote no graph; it could not be compiled")
    print("\n".join([*lines(found, args.top), "", *type_lines(found)]))
    if args.by:
        hostile = [op for op in found if op.kind in HOSTILE]
        print("\n".join(["", *by_origin(hostile, args.by)]))
    if args.roofline:
        print("\n".join(["", *roofline_lines(found, args.roofline)]))
    if args.json:
        Path(args.json).write_text(json.dumps(table(found), indent=1) + "\n")
    return 0


if __name__ == "__main__":
    from mindlong.cli.common import guarded

    sys.exit(guarded(main, None))
