"""`key=value` pairs of a command line, and answers to what is not written that way."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from mindlong.utils.errors import ConfigError, nearest

WHERE, CALL = "the command line", "the call"
BY_HAND = (WHERE, CALL)
LOADED = "mindlong.load"  # keys that hold for all calls of a model, whichever reads them


@dataclass(frozen=True)
class Pair:
    """One key with the words of its value, as typed."""

    key: str
    words: str

    @property
    def place(self) -> str:
        """Where it stands, for sentences."""
        return WHERE


@dataclass(frozen=True)
class Keyword(Pair):
    """A keyword argument of a Python call: its value is of a type already."""

    value: Any = None
    stands: str = CALL

    @property
    def place(self) -> str:
        """Where it stands, for sentences."""
        return self.stands


def pairs(arguments: Sequence[str]) -> list[Pair]:
    """The pairs in the order in which they were given.

    Raises:
        ConfigError: an argument that is none.
    """
    return [_pair(argument) for argument in arguments]


def keyword_pairs(keywords: Mapping[str, Any], place: str = CALL) -> list[Pair]:
    """The pairs of keyword arguments, `__` standing for the dots of a key; a mapping in the place
    of a section stays one until the keys are known.
    """
    return [
        Keyword(name.replace("__", "."), str(value), _plain(value), place)
        for name, value in keywords.items()
    ]


def _plain(value: Any) -> Any:
    """The value without numpy's types, paths as texts."""
    if isinstance(value, Mapping):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    if isinstance(value, Path):
        return str(value)
    return value.item() if hasattr(value, "item") and not getattr(value, "ndim", 0) else value


def parse_overrides(arguments: Sequence[str]) -> dict[str, Any]:
    """`["train.steps=20", "model.dim=8"]` as a nested mapping; values are read as YAML.

    Raises:
        ConfigError: an argument that is no pair, or a key that is given a value and parts.
    """
    tree: dict[str, Any] = {}
    for pair in pairs(arguments):
        _put(tree, pair.key, _loose(pair.words))
    return tree


def answer(argument: str, options: Iterable[str], keys: Iterable[str]) -> str:
    """What to say to an argument that begins with a dash and is no option of the command: keys are
    written without it.

    Args:
        options: the options that there are. keys: the keys that there are.
    """
    word, equals, value = argument.partition("=")
    key = word.lstrip("-").replace("-", "_")
    known = {k: k for k in keys}
    named = {k.rpartition(".")[2]: k for k in reversed(known)} | known
    flags = {option.lstrip("-").replace("-", "_"): option for option in options}
    close = [key] if key in named else nearest(key, [*named, *(f for f in flags if len(f) > 1)])
    if close and close[0] in named:
        written = f"{named[close[0]]}={shlex.quote(value) if equals else 'VALUE'}"
        return f"there is no option {word}; keys are written key=value, without dashes: {written}"
    if close:
        return f"there is no option {word}. Did you mean {flags[close[0]]}?"
    return (
        f"there is no option {word}; keys are written key=value, for example prompt='a red circle'"
    )


def _pair(argument: str) -> Pair:
    key, equals, words = argument.partition("=")
    key = key.strip()
    if equals and key and not key.startswith("-"):
        return Pair(key, words)
    if not equals and Path(argument).suffix in (".yaml", ".yml", ".json"):
        raise ConfigError(f"{argument!r} is not understood: a file is given as --config {argument}")
    raise ConfigError(
        f"{argument!r} is not understood: keys are written key=value, for example train.steps=20; a "
        "value with blanks stands in quotes, prompt='a red circle'"
    )


def _loose(words: str) -> Any:
    try:
        return yaml.safe_load(words) if words else ""
    except yaml.YAMLError:
        return words  # free text with a colon


def _put(tree: dict[str, Any], key: str, value: Any) -> None:
    *path, last = key.split(".")
    for name in path:
        tree = tree.setdefault(name, {})
        if not isinstance(tree, dict):
            raise ConfigError(
                f"{key}: {name!r} was given a value of its own before; give either it or its parts"
            )
    tree[last] = value
