"""What every command shares: arguments and exit codes."""

from __future__ import annotations

import argparse
import os
import sys
import traceback
from collections.abc import Callable, Sequence

from mindlong import __version__
from mindlong.utils.errors import UserError


def parser(name: str, about: str, schema: type, examples: str) -> argparse.ArgumentParser:
    """A parser for `--config FILE key=value ...` whose `--help` lists every key of `schema`."""
    from mindlong.config.help import table

    made = argparse.ArgumentParser(
        prog=name,
        description=about,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog=f"examples:\n{examples}\n\n{table(schema)}\n\nexit codes: 0 done, 1 failed, "
        "2 bad arguments or configuration, 3 bad input file",
    )
    made.add_argument("--config", metavar="FILE", help="YAML file with the keys below")
    made.add_argument(
        "--dry_run",
        action="store_true",
        help="check everything, print the plan and its cost, and stop",
    )
    made.add_argument("--version", action="version", version=f"mindlong {__version__}")
    made.add_argument("overrides", nargs="*", metavar="key=value", help="keys put over the file's")
    return made


def guarded(main: Callable[[Sequence[str] | None], int], argv: Sequence[str] | None = None) -> int:
    """Run `main`; turn a user's mistake into one line on standard error and its exit code."""
    os.environ.setdefault(
        "GLOG_v", "3"
    )  # MindSpore's own log: errors only, unless the user asks for more
    try:
        return main(argv)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("stopped by the user", file=sys.stderr)
        return 1
    except BrokenPipeError:
        return 1
    except Exception:
        traceback.print_exc()
        print(
            "error: this is a fault of mindlong, not of your input; the lines above say where",
            file=sys.stderr,
        )
        return 1
