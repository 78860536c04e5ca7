"""Find the layers of a checkpoint whose numbers leave the range of halves, and write them into its
model file.

The networks are run on the CPU at several timesteps; the largest input, result, weight, attention
score and sum of every layer are recorded, halves that saturate as on a 910A are emulated, and the
layers that have to stay in float32 are written: into unet.yaml and vae.yaml beside files of ours,
else into a file of its own beside the weights (mindlong.yaml in a folder, NAME.mindlong.yaml beside
a file). Whatever loads the weights in half precision then keeps those layers in float32.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from mindlong.cli.common import ToolParser, guarded
from mindlong.utils.errors import ConfigError, InputFileError

EXAMPLES = """examples:
  python tools/fp16_audit.py my_stable_diffusion/
  python tools/fp16_audit.py model.safetensors --size 4 32 32 --dry_run

exit codes: 0 audited, 1 the emulation is further than 1e-2 from float32, 2 bad arguments, 3 bad file"""
PARTS = ("network", "vae")


def _parser() -> argparse.ArgumentParser:
    made = ToolParser("fp16_audit", __doc__, EXAMPLES)
    made.add_argument(
        "weights", metavar="WEIGHTS", help="a folder or a file, ours or an original's"
    )
    made.add_argument("--family", help="read the network as this family")
    made.add_argument(
        "--size",
        type=int,
        nargs=3,
        default=(2, 16, 16),
        metavar=("F", "H", "W"),
        help="frames, height and width of the network's input (%(default)s)",
    )
    made.add_argument("--seed", type=int, default=0, help="of the inputs (%(default)s)")
    made.add_argument(
        "--margin",
        type=float,
        default=2.0,
        help="how far below 65504 numbers have to stay (%(default)s)",
    )
    made.add_argument("--top", type=int, default=5, help="largest layers to list (%(default)s)")
    made.add_argument("--dry_run", action="store_true", help="report and write nothing")
    return made


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command."""
    args = _parser().parse_args(argv)
    if args.margin < 1 or min(args.size) < 1:
        raise ConfigError("--margin must be at least 1, and every number of --size too")
    from mindlong.checkpoints.files import open_weights
    from mindlong.checkpoints.locate import locate
    from mindlong.checkpoints.parts import read_part
    from mindlong.ops import attention, device

    place = locate(args.weights)
    held = open_weights(place)
    device.setup("CPU", "pynative")
    attention.use("math")
    parts = []
    for role in PARTS:
        try:
            parts.append(read_part(held, role, args.family if role == "network" else None))
        except InputFileError:
            if role == "network":
                raise
    return max([_audited(part, place, args) for part in parts])


def _audited(part, place: Path, args: argparse.Namespace) -> int:
    from mindlong.checkpoints.float32_file import write_float32
    from mindlong.pipelines import fp16_audit

    calls = fp16_audit.calls_of(part, tuple(args.size), args.seed)
    found = fp16_audit.audit(part, calls, args.margin)
    name = part.network.part
    typed = {n: p for n, p in found.peaks.items() if p.typed}
    print(
        f"{name} ({part.family}): {len(typed)} layers, {len(calls)} runs, {len(found.kept)} to keep"
    )
    largest = sorted(typed, key=lambda n: -max(typed[n].made, typed[n].read, typed[n].score))
    for layer in largest[: args.top]:
        p = typed[layer]
        print(f"  {layer}: input {p.read:.3g}, result {p.made:.3g}, score {p.score:.3g}")
    for layer, reason in found.kept.items():
        print(f"  keep {layer} in float32: {reason}")
    print(f"  saturating halves: {found.before:.1e} from float32, kept so {found.after:.1e}")
    if found.kept and not args.dry_run:
        kept = tuple(dict.fromkeys((*part.spec.float32, *found.kept)))
        print(f"  written into {write_float32(place, name, kept)}")
    return 0 if found.after <= fp16_audit.ALLOWED else 1


def command(argv: Sequence[str] | None = None) -> int:
    """The console entry: `main` with exit codes."""
    return guarded(main, argv)
