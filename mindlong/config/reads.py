"""No key without a reader: what a user set and the chosen task or pipeline does not read is
refused.

Each task and each pipeline declares the keys that it reads (`mindlong.config.tasks`,
`mindlong.config.pipelines`), a key may say with which settings it is read (`when` of its option),
and a section may name further ones that its settings leave idle (`idle`).
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mindlong.config.command_line import BY_HAND, LOADED
from mindlong.config.conditions import unmet
from mindlong.config.leaves import Leaf, value_at
from mindlong.utils.errors import ConfigError

if TYPE_CHECKING:
    from mindlong.config.given import Given

SAVED = 0.6  # share of all keys that a file must hold to be the saved configuration of a run


class UnreadKey(ConfigError):
    """A key that was set and that nothing reads with these settings."""


@dataclass(frozen=True)
class Reader:
    """A task or a pipeline and the keys that it reads.

    Attributes:
        name: in messages, "pipeline pixel".
        reads: keys and sections. Of a section those keys are read whose own condition holds; "KEY!"
            is read whatever its condition says; "-KEY" and "-SECTION" are not read. The longest
            word that fits a key counts.
        others: the other readers, for messages.
    """

    name: str
    reads: tuple[str, ...]
    others: tuple[Reader, ...] = ()

    def covers(self, key: str) -> bool:
        """Whether the key is among those declared."""
        return _covered(self.reads, key)

    def always(self, key: str) -> bool:
        """Whether the key is read whatever its own condition says."""
        return f"{key}!" in self.reads

    def owners(self, key: str) -> str:
        """Which others read the key, in words."""
        found = [other.name for other in self.others if other.covers(key)]
        if not found:
            return "nothing reads it"
        kind = found[0].rpartition(" ")[0]
        listed = ", ".join(name.removeprefix(f"{kind} ") for name in found)
        return f"it belongs to {kind} {listed}"


@functools.cache  # keys times readers, both of which the schemas list
def _covered(reads: tuple[str, ...], key: str) -> bool:
    fitting = [word for word in reads if under(key, word.strip("-!"))]
    deciding = max(fitting, key=lambda word: (len(word.strip("-!")), word[0] == "-"), default="-")
    return deciding[0] != "-"


def under(key: str, word: str) -> bool:
    """Whether a key is the one that a word names, or lies in the section that it names."""
    return key == word or key.startswith(f"{word}.")


def check_read(values: Any, given: Given, of_file: Any, saved: bool) -> list[str]:
    """Refuse keys that were set, to something else than their default, and that are not read.

    Args:
        of_file: the configuration as the file alone has it, None where that is none. A key of the
            file that the command line leaves idle is only said.
        saved: the file is that of a run; what it does not read is only said.

    Returns:
        Sentences on what is not read and not refused.

    Raises:
        UnreadKey: naming the first such key, where it was set, and what it belongs to.
    """
    asked = [
        key
        for key, setting in given.settings.items()
        if setting.value != given.keys[key].default and setting.place != LOADED
    ]
    reasons = dict(unread(values, given.keys, asked))
    found = list(reasons)
    before = dict(unread(of_file, given.keys, found)) if of_file and found else reasons
    said = [
        key for key in found if given.place(key) not in BY_HAND and (saved or key not in before)
    ]
    refused = [key for key in found if key not in said]
    if refused:
        first, *rest = refused
        more = f"; nor is {', '.join(rest)}" if rest else ""
        sentence = f"{given.place(first)}: {first} {reasons[first]}{more}"
        raise UnreadKey(f"{sentence}.{_way_out(given, first)}")
    return [f"{given.place(key)}: {key} {reasons[key]}" for key in said]


def unread(
    values: Any, keys: Mapping[str, Leaf], asked: Iterable[str]
) -> Iterator[tuple[str, str]]:
    """(key, reason in words) of every key among those asked that a configuration does not read."""
    reader = values.reader()
    idle = dict(values.idle())
    flat = _Values(values, keys)
    for key in asked:
        leaf = keys[key]
        if key.startswith("model."):
            reason = unmet(leaf.said("when") or "", leaf.section, flat)
        elif not reader.covers(key):
            reason = f"is not read by {reader.name}; {reader.owners(key)}"
        else:
            reason = _idle(key, idle)
            if not reason and not reader.always(key):
                reason = unmet(leaf.said("when") or "", leaf.section, flat)
        if reason:
            yield key, reason


@dataclass(frozen=True)
class _Values(Mapping[str, Any]):
    """The values of a configuration by dotted key, looked up when they are asked for."""

    values_of: Any
    keys_of: Mapping[str, Leaf]

    def __getitem__(self, key: str) -> Any:
        if key not in self.keys_of:
            raise KeyError(key)
        return value_at(self.values_of, key)

    def __iter__(self) -> Iterator[str]:
        return iter(self.keys_of)

    def __len__(self) -> int:
        return len(self.keys_of)


def _idle(key: str, idle: Mapping[str, str]) -> str:
    return next((reason for word, reason in idle.items() if under(key, word)), "")


def _way_out(given: Given, key: str) -> str:
    """How to go on: without the key, or with its default over that of a file."""
    word = _word(given.keys[key])
    over_file = not given.settings[key].typed_by_hand and word
    return f" Leave it out, or give {key}={word}" if over_file else " Leave it out"


def _word(leaf: Leaf) -> str:
    default = leaf.default
    if isinstance(default, bool):
        return str(default).lower()
    if default is None:
        return "null"
    if isinstance(default, list):
        return f"[{','.join(map(str, default))}]"
    return str(default)


def is_saved(tree: Mapping[str, Any], keys: Mapping[str, Leaf]) -> bool:
    """Whether a file is the resolved configuration of a run: it holds (nearly) every key, as no
    hand writes them.
    """
    held = [key for key in keys if _has(tree, key)]
    return len(held) >= SAVED * len(keys)


def _has(tree: Any, key: str) -> bool:
    for name in key.split("."):
        if not isinstance(tree, Mapping) or name not in tree:
            return False
        tree = tree[name]
    return True
