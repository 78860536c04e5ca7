"""No key without a reader: what a user set and the chosen task or pipeline does not read is
refused.

Each task and each pipeline declares the keys that it reads (`mindlong.config.tasks`,
`mindlong.config.pipelines`), a key may say with which settings it is read (`when` of its option),
and a section may name further ones that its settings leave idle (`idle`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from mindlong.config.command_line import BY_HAND, LOADED
from mindlong.config.conditions import unmet
from mindlong.config.given import Given
from mindlong.config.leaves import Leaf, value_at
from mindlong.config.reader import under
from mindlong.utils.errors import ConfigError

SAVED = 0.6  # share of all keys that a file must hold to be the saved configuration of a run


class UnreadKey(ConfigError):
    """A key that was set and that nothing reads with these settings."""


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
    reasons = dict(unread(values, given.keys))
    found = [
        key
        for key, setting in given.settings.items()
        if key in reasons and setting.value != given.keys[key].default and setting.place != LOADED
    ]
    before = dict(unread(of_file, given.keys)) if of_file and found else reasons
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


def unread(values: Any, keys: Mapping[str, Leaf]) -> Iterator[tuple[str, str]]:
    """(key, reason in words) of every key that a configuration does not read."""
    reader = values.reader()
    idle = dict(values.idle())
    flat = {key: value_at(values, key) for key in keys}
    for key, leaf in keys.items():
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
