"""The parser of a command's arguments; nothing but Python's own library is needed for it."""

from __future__ import annotations

import argparse
import math
import shutil
from collections.abc import Iterable
from typing import NoReturn

from mindlong.cli.commands import as_started, program
from mindlong.utils.errors import ConfigError

COLUMNS = 110  # of a line of help at most, whatever the terminal's


def _formatter(prog: str) -> argparse.HelpFormatter:
    width = min(shutil.get_terminal_size().columns - 2, COLUMNS)
    return argparse.RawDescriptionHelpFormatter(prog, width=width)


def _finite(text: str) -> float:
    """A number of the command line."""
    number = float(text)
    if not math.isfinite(number):
        raise argparse.ArgumentTypeError(f"{text!r} is no finite number")
    return number


class ToolParser(argparse.ArgumentParser):
    """A parser of the command `mindlong.cli.MODULE`. Its help calls commands as they were started:
    by the files of a checkout, or as an installation calls them.

    Args:
        about: what the command does. examples: what stands below the options.

    Attributes:
        listed: what its help lists.
    """

    listed = "the options"

    def __init__(self, module: str, about: str | None, examples: str = "") -> None:
        super().__init__(
            prog=program(module),
            description=about,
            epilog=examples,
            formatter_class=_formatter,
        )
        self.register("type", float, _finite)

    def format_help(self) -> str:
        """The text of --help."""
        return as_started(super().format_help())

    def refuse_idle(self, args: argparse.Namespace, names: Iterable[str], why: str) -> None:
        """Raise ConfigError where one of the options `names` is given, which nothing would read:
        "--NAME why". One that is given as its default says changes nothing and passes.
        """
        for name in names:
            if getattr(args, name) != self.get_default(name):
                raise ConfigError(f"--{name} {why}")

    def error(self, message: str) -> NoReturn:
        """Refuse the arguments in one sentence."""
        raise ConfigError(f"{message}; --help lists {self.listed}")
