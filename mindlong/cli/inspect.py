"""Say what a checkpoint is: its form, networks, sizes, formats, and what is suspicious. Nothing in
it is run.
"""

from __future__ import annotations

from collections.abc import Sequence

from mindlong.checkpoints.inspection import inspect
from mindlong.cli.common import ToolParser, guarded
from mindlong.utils.errors import InputFileError

EXAMPLES = """examples:
  python tools/inspect_checkpoint.py model-10.pt
  python tools/inspect_checkpoint.py unknown.ckpt --names

exit codes: 0 weights and nothing else, 3 damaged, not finite, of another kind, or it asks for more than tensors"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command."""
    parser = ToolParser("inspect", __doc__, EXAMPLES)
    parser.add_argument(
        "files", nargs="+", metavar="FILE", help="weight files, indices of shards or folders"
    )
    parser.add_argument("--names", action="store_true", help="list every tensor")
    parser.add_argument(
        "--inert",
        action="append",
        default=[],
        metavar="PATTERN",
        help="Python names in the file to step over unbuilt, such as 'mypackage.*'",
    )
    parser.add_argument(
        "--quick",
        action="store_true",
        help="read names and sizes only: neither checksums nor NaN and infinity are looked for",
    )
    args = parser.parse_args(argv)
    findings = [inspect(file, args.names, args.inert, not args.quick) for file in args.files]
    for finding in findings:
        print("\n".join(finding.lines))
    return 0 if all(finding.sound for finding in findings) else InputFileError.exit_code


def command(argv: Sequence[str] | None = None) -> int:
    """The console entry: `main` with exit codes."""
    return guarded(main, argv)
