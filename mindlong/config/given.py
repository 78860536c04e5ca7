"""Which keys a user set, and where: in a file (with the line) or on the command line."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from mindlong.config.command_line import BY_HAND, CALL, WHERE, Keyword, Pair
from mindlong.config.leaves import Leaf, sections
from mindlong.config.values import Misfit, from_words, shown, typed
from mindlong.config.yaml_file import Tree
from mindlong.utils.errors import ConfigError

Unknown = Callable[[str], str]  # key -> what to say of it


@dataclass(frozen=True)
class Setting:
    """A value that was set.

    Attributes:
        value: typed. place: "FILE, line 3" or "the command line".
    """

    value: Any
    place: str

    @property
    def typed_by_hand(self) -> bool:
        """Whether it stands on the command line, or in a Python call."""
        return self.place in BY_HAND


@dataclass
class Given:
    """The keys that were set, by dotted name; those of the command line over those of files.

    Attributes:
        keys: the schema's. where: the file (or the command line), for sentences on keys that
            nobody set.
        of_files: the settings as they were before those of the command line.
        notes: sentences for the user on what was understood.
    """

    keys: Mapping[str, Leaf]
    where: str
    unknown: Unknown
    settings: dict[str, Setting] = field(default_factory=dict)
    of_files: dict[str, Setting] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.groups = sections(self.keys)

    def place(self, key: str) -> str:
        """Where a key was set; the file where it was not."""
        return self.settings[key].place if key in self.settings else self.where

    def blame(self, sentence: str) -> str:
        """Where the keys were set that a sentence names: the command line, if one of them stands
        there, else the line of the first.
        """
        words = re.findall(r"[\w.]+\w", sentence)
        if sentence.startswith("model: "):  # of the network's sizes, by their own names
            words = [f"model.{word}" for word in words] + words
        found = [self.settings[word].place for word in words if word in self.settings]
        by_hand = [place for place in found if place in BY_HAND]
        return next(iter([*by_hand, *found]), self.where)

    def values(self) -> dict[str, Any]:
        """The typed values by key."""
        return {key: setting.value for key, setting in self.settings.items()}

    def add_tree(self, tree: Tree, prefix: str = "") -> None:
        """Set the keys of a file; `prefix` stands before all of them. Raises ConfigError."""
        for key, value in self._flat(tree.values, prefix, tree, len(prefix)):
            self._set(key, value, tree.place(key[len(prefix) :]))
        for key, words in tree.cut.items():
            leaf = self.keys.get(prefix + key)
            if leaf and leaf.said("text"):
                self.notes.append(
                    f"{tree.place(key)}: #{words} is a comment and no part of {prefix}{key}; put "
                    "the text in quotes to keep it"
                )

    def add_pairs(self, pairs: Iterable[Pair]) -> None:
        """Set keys of the command line, or of a call. Raises ConfigError."""
        seen: dict[str, str] = {}
        for pair in self._single(pairs):
            if seen.get(pair.key) == pair.place:
                self._say_twice(pair)
            seen[pair.key] = pair.place
            self._add_pair(pair)

    def _single(self, pairs: Iterable[Pair]) -> Iterator[Pair]:
        """The pairs with those of whole groups, {steps: 20}, one by one."""
        for pair in pairs:
            group = pair.value if isinstance(pair, Keyword) else None
            if pair.key in self.groups and isinstance(group, Mapping):
                named = {f"{pair.key}.{key}": value for key, value in group.items()}
                yield from self._single(Keyword(k, str(v), v, pair.place) for k, v in named.items())
                continue
            if pair.key in self.groups and pair.words.strip()[:1] == "{":
                inner = from_words(pair.words, dict[str, str], False)
                yield from self._single(Pair(f"{pair.key}.{k}", v) for k, v in inner.items())
                continue
            yield pair

    def _say_twice(self, pair: Pair) -> None:
        """On a command line the last counts, as a user who recalls a line and adds to it expects;
        the keywords of a call have no order. Raises ConfigError.
        """
        if pair.place == CALL:
            raise ConfigError(f"{CALL}: {pair.key} is given twice; give it once")
        self.notes.append(f"{pair.key} is given twice; the last, {pair.words}, is taken")

    def _add_pair(self, pair: Pair) -> None:
        owner = self._owner(pair.key, pair.place)
        leaf = self.keys[owner]
        if owner == pair.key:
            words = _placed(pair, leaf)
            self._set(owner, words, pair.place)
            if not isinstance(pair, Keyword):
                self._say_texts(leaf, pair.words)
            return
        held = dict(self.settings[owner].value) if owner in self.settings else {}
        inner = getattr(pair, "value", None)
        words = from_words(pair.words, str, False) if inner is None else inner
        self._set(owner, {**held, pair.key[len(owner) + 1 :]: words}, pair.place)

    def _owner(self, key: str, place: str) -> str:
        """The leaf that a dotted key names: itself, or the mapping that has it as an entry."""
        if key in self.keys:
            return key
        above = key.rpartition(".")[0]
        while above and above not in self.keys:
            above = above.rpartition(".")[0]
        if above and _is_mapping(self.keys[above]):
            return above
        if key in self.groups:
            raise ConfigError(f"{place}: {key} is a group of keys; write {key}.NAME=value")
        raise ConfigError(f"{place}: {self.unknown(key)}")

    def _say_texts(self, leaf: Leaf, words: str) -> None:
        held = self.settings[leaf.key].value
        if leaf.said("text") and isinstance(held, list) and len(held) > 1 and "," in words:
            listed = ", ".join(map(repr, held))
            self.notes.append(
                f"{len(held)} {leaf.key.rpartition('.')[2]}: {listed} (one that holds a comma stands "
                "in quotes)"
            )

    def _set(self, key: str, value: Any, place: str) -> None:
        try:
            found = typed(value, self.keys[key].hint)
        except Misfit as fault:
            raise ConfigError(f"{place}: {key} {fault}{self._advice(key, value)}") from None
        self.settings[key] = Setting(found, place)

    def _advice(self, key: str, value: Any) -> str:
        """The right form, where a usual wrong one is seen."""
        word = value[0] if isinstance(value, list) and len(value) == 1 else value
        several = re.fullmatch(r"\s*(\d+)\s*[x,\s]\s*(\d+)\s*", str(word))
        is_list = str(self.keys[key].hint).startswith("list")
        return f"; write {key}=[{several[1]}, {several[2]}]" if several and is_list else ""

    def _flat(
        self, node: Mapping[str, Any], prefix: str, tree: Tree, cut: int
    ) -> Iterable[tuple[str, Any]]:
        for name, value in node.items():
            key = f"{prefix}{name}"
            if key in self.keys:
                yield key, value
            elif key not in self.groups:
                inner = next(iter(value), "") if isinstance(value, Mapping) else ""
                raise ConfigError(
                    f"{tree.place(key[cut:])}: {self.unknown(f'{key}.{inner}' if inner else key)}"
                )
            elif isinstance(value, Mapping):
                yield from self._flat(value, f"{key}.", tree, cut)
            elif value not in ("", "null", "~", None):
                raise ConfigError(
                    f"{tree.place(key[cut:])}: {key} is a group of keys, got {shown(value)}; write "
                    f"{key}: {{NAME: value}}"
                )


def _placed(pair: Pair, leaf: Leaf) -> Any:
    if isinstance(pair, Keyword):
        return pair.value
    try:
        return from_words(pair.words, leaf.hint, bool(leaf.said("text")))
    except ConfigError as fault:
        joint = " " if isinstance(fault, Misfit) else ": "
        raise ConfigError(f"{WHERE}: {pair.key}{joint}{fault}") from None


def _is_mapping(leaf: Leaf) -> bool:
    return str(leaf.hint).startswith("dict")
