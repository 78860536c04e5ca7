"""When a key is read: conditions in words, such as "kind=clips" or "guidance!=1 !scenes".

A condition is terms parted by blanks, all of which must hold:

    kind=clips         the key beside it has one of the values, "schedule=cosine|linear";
                       a list: holds one of them
    guidance!=1        it has none of them
    video              it is set: not empty, not 0, not false
    !video             it is not set
    video|images       one of them is set

A name is that of a key in the same section, or the whole dotted name of any key.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from typing import Any

TERM = re.compile(r"(!?)([\w.|]+?)(?:(!?=)([\w.|]+))?")


def unmet(when: str, section: str, values: Mapping[str, Any]) -> str:
    """The reason why a condition does not hold, in words; "" where it holds.

    Args:
        when: the condition. section: dotted name of the key's section. values: by dotted key.
    """
    for term in when.split():
        reason = _unmet(term, section, values)
        if reason:
            return reason
    return ""


def names(when: str, section: str, known: Mapping[str, Any]) -> list[str]:
    """The dotted keys that a condition asks. Raises KeyError for one that does not exist."""
    found = [name for term in when.split() for name in _parsed(term)[1].split("|")]
    return [_whole(name, section, known) for name in found]


@functools.cache  # the schemas' own conditions
def _parsed(term: str) -> tuple[str, str, str, str]:
    """A term's "!" or "", its names, its sign and its values, "" for what is not there."""
    found = TERM.fullmatch(term)
    if found is None:
        raise ValueError(f"{term!r} is no term of a condition")
    negated, words, sign, wanted = found.groups(default="")
    return negated, words, sign, wanted


def _unmet(term: str, section: str, values: Mapping[str, Any]) -> str:
    negated, words, sign, wanted = _parsed(term)
    keys = [_whole(name, section, values) for name in words.split("|")]
    if sign:
        key, allowed = keys[0], wanted.split("|")
        if _holds(values[key], allowed) == (sign == "="):
            return ""
        meant = f"; it belongs to {key}={' or '.join(filter(None, allowed))}" if sign == "=" else ""
        return f"is not read where {key} is {_word(values[key])}{meant}"
    there = [key for key in keys if values[key]]
    if negated:
        return f"is not read, because {there[0]} is given" if there else ""
    if there:
        return ""
    which = " and ".join(f"{key} is {_word(values[key]) or 'empty'}" for key in keys)
    return f"is not read where {which}"


def _whole(name: str, section: str, known: Mapping[str, Any]) -> str:
    beside = f"{section}.{name}" if section else name
    if beside in known:
        return beside
    if name in known:
        return name
    raise KeyError(f"the condition of a key in {section!r} names {name!r}, which is no key")


def _holds(value: Any, allowed: list[str]) -> bool:
    listed = value if isinstance(value, list) else [value]
    return any(_word(each) in allowed for each in listed)


def _word(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, list):
        return f"[{', '.join(map(_word, value))}]"
    return str(value)
