"""What every command shares: arguments and exit codes."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from mindlong import __version__
from mindlong.cli.commands import as_started
from mindlong.cli.guard import guarded as guarded
from mindlong.cli.tool_parser import ToolParser as ToolParser
from mindlong.config import shipped
from mindlong.config.command_line import answer
from mindlong.config.load import Schema
from mindlong.utils.errors import ConfigError

EXIT_CODES = (
    "exit codes: 0 done, 1 failed, 2 bad arguments or configuration, 3 bad input file,\n"
    "            130 stopped by Ctrl-C, 143 by SIGTERM"
)
HELP = ("-h", "--help")


class KeyParser(ToolParser):
    """A parser for `--config FILE key=value ...`, in any order; what is written otherwise is
    answered in one sentence.

    Args:
        keys: the keys that there are, for the answers.
        schema: what `--help WORD` is about.
        below: what stands below the options in the help, worked out when it is asked for.
    """

    listed = "options and keys"

    def __init__(
        self,
        keys: Sequence[str],
        schema: Schema,
        module: str,
        about: str | None,
        below: Callable[[], str] = str,
    ) -> None:
        super().__init__(module, about)
        self.keys, self.schema, self.below = keys, schema, below

    def format_help(self) -> str:
        """The text of --help."""
        self.epilog = self.below()
        return super().format_help()

    def read(self, argv: Sequence[str] | None = None) -> argparse.Namespace:
        """The arguments. Raises ConfigError where one is not understood."""
        words = list(sys.argv[1:] if argv is None else argv)
        self._help_on(words)
        for place, word in enumerate(words):
            if word == "--":
                break
            if word.startswith("-") and not self._is_option(word):
                following = words[place + 1] if place + 1 < len(words) else ""
                taken = following and "=" not in word and following[0] != "-"
                joined = f"{word}={following}" if taken else word
                raise ConfigError(answer(joined, self._option_string_actions, self.keys))
        return self.parse_intermixed_args(words)

    def _help_on(self, words: Sequence[str]) -> None:
        """Print what `--help WORD ...` asks for, wherever it stands, and leave."""
        from mindlong.config.help import topic

        given = list(words[: words.index("--")] if "--" in words else words)
        place = next((i for i, word in enumerate(given) if word.split("=")[0] in HELP), None)
        if place is None:
            return
        behind = [given[place].partition("=")[2], *given[place + 1 :]]
        asked = [word for word in behind if word and word[0] != "-"]
        asked += [word for word in given[:place] if word.split("=")[0] in ("pipeline", "task")]
        if asked:
            print(as_started(topic(self.schema, asked)))
            self.exit()

    def _is_option(self, word: str) -> bool:
        name = word.partition("=")[0]
        return (
            any(option.startswith(name) for option in self._option_string_actions) and len(name) > 1
        )


def parser(
    module: str, about: str | None, schema: Schema, keys: Sequence[str], examples: str
) -> KeyParser:
    """A parser whose `--help` tells of `schema`; `keys` are those of all its variants."""
    made = KeyParser(keys, schema, module, about, lambda: _below(schema, examples))
    made.add_argument(
        "--config",
        metavar="FILE",
        help="YAML file of keys, or the name of a configuration that travels with "
        "mindlong; --config list prints those",
    )
    made.add_argument(
        "--dry_run",
        "--dry-run",
        action="store_true",
        help="check everything as the run would: the keys, that data and weights are there and fit, "
        "the memory; print the plan and its cost, and stop",
    )
    made.add_argument("--version", action="version", version=f"mindlong {__version__}")
    made.add_argument("overrides", nargs="*", metavar="key=value", help="keys put over the file's")
    return made


def _below(schema: Schema, examples: str) -> str:
    from mindlong.config.help import overview

    return f"examples:\n{examples}\n\n{overview(schema)}\n\n{EXIT_CODES}"


def listed(args: argparse.Namespace, kind: str) -> bool:
    """Whether `--config list` asked for the configurations of a kind; they are printed then."""
    if args.config != "list" or Path("list").exists():
        return False
    print(shipped.listing(kind))
    return True
