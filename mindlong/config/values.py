"""From what a user wrote to the value of a key: the key's type decides what words mean."""

from __future__ import annotations

import math
import re
import types
import typing
from collections.abc import Mapping
from typing import Any

from mindlong.config.flow import Plain, entries, is_flow, parts, unquoted
from mindlong.utils.errors import ConfigError

YES, NO = ("true", "yes", "on", "y", "1"), ("false", "no", "off", "n", "0")
EMPTY = ("", "~", "null", "none")
LARGEST = 2**63 - 1
NEEDS = {int: "a whole number", float: "a number", bool: "true or false", str: "one text"}


class Misfit(ConfigError):
    """A value that its key cannot have: "is 'x'; it must be ...", without the key."""


def from_words(words: str, hint: Any, literal: bool) -> Any:
    """What a value typed on a command line means: a list or a mapping where the key has one.

    Args:
        hint: the type of the key.
        literal: the key holds texts that are taken as typed.
    """
    kind, inner = _opened(hint)
    if _optional(hint) and words.strip().lower() in EMPTY:
        return Plain(words.strip())
    if kind is list:
        if is_flow(words, "["):
            return [from_words(part, inner, False) for part in parts(words)]
        return [from_words(words, inner, literal)] if words.strip() else []
    if kind is dict and is_flow(words, "{"):
        return _entries(words)
    if kind is str and literal:
        return words
    return unquoted(words)


def typed(value: Any, hint: Any) -> Any:
    """The value as the type `hint`: texts are read, one value stands for a list of one.

    Raises:
        Misfit: it cannot be read as that.
    """
    kind, inner = _opened(hint)
    if _optional(hint) and (value is None or _is_empty(value)):
        return None
    if kind is list:
        return _list(value, inner, hint)
    if kind is dict:
        return _mapping(value, inner)
    if isinstance(value, list | tuple | Mapping) or value is None:
        raise Misfit(f"is {shown(value)}; it must be {need(hint)}")
    return {int: _whole, float: _number, bool: _truth, str: _text}[kind](value)


def need(hint: Any) -> str:
    """What a key of that type takes, in words."""
    kind, inner = _opened(hint)
    if kind is list:
        return f"a list, each part {need(inner)}, for example {_example(inner)}"
    if kind is dict:
        return f"a mapping, {{KEY: VALUE}}, each value {need(inner)}"
    return NEEDS[kind]


def shown(value: Any) -> str:
    """A value in a message, cut where it is long."""
    text = repr(_bare(value))
    return text if len(text) <= 60 else f"{text[:57]}..."


def _entries(words: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for key, value in entries(words):
        if key in found:
            raise Misfit(f"is {shown(words)}; the key {str(key)!r} stands twice in it")
        found[str(key)] = unquoted(value)
    return found


def _bare(value: Any) -> Any:
    if isinstance(value, str):
        return str(value)
    if isinstance(value, list | tuple):
        return [_bare(v) for v in value]
    if isinstance(value, Mapping):
        return {str(k): _bare(v) for k, v in value.items()}
    return value


def _example(inner: Any) -> str:
    kind = _opened(inner)[0]
    return {int: "[1, 2]", float: "[0.5, 1]", bool: "[true, false]"}.get(kind, "[one, two]")


def _opened(hint: Any) -> tuple[type, Any]:
    """(list, type of a part), (dict, type of a value) or (type, None)."""
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin in (types.UnionType, typing.Union):
        return _opened(next(a for a in args if a is not type(None)))
    if origin in (list, tuple):
        return list, args[0]
    if origin is dict:
        return dict, args[1]
    return hint, None


def _optional(hint: Any) -> bool:
    return type(None) in typing.get_args(hint)


def _is_empty(value: Any) -> bool:
    return isinstance(value, Plain) and value.lower() in EMPTY


def _list(value: Any, inner: Any, hint: Any) -> list[Any]:
    if isinstance(value, Plain) and value == "":
        return []
    if isinstance(value, Mapping) and _opened(inner)[0] is not dict:
        raise Misfit(f"is {shown(value)}; it must be {need(hint)}")
    several = list(value) if isinstance(value, list | tuple) else [value]
    return [typed(part, inner) for part in several]


def _mapping(value: Any, inner: Any) -> dict[str, Any]:
    if isinstance(value, Plain) and value.lower() in EMPTY:
        return {}
    if not isinstance(value, Mapping):
        raise Misfit(f"is {shown(value)}; it must be a mapping, for example {{KEY: VALUE}}")
    return {str(key): typed(part, inner) for key, part in value.items()}


def _text(value: Any) -> str:
    text = str(value).lower() if isinstance(value, bool) else str(value)
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise Misfit(f"is {shown(value)}; it must be text in UTF-8") from None
    return text


def _truth(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    word = str(value).strip().lower()
    if word in YES or word in NO:
        return word in YES
    raise Misfit(f"is {shown(value)}; it must be {NEEDS[bool]}")


def _whole(value: Any) -> int:
    number = _read(value, int)
    if not math.isfinite(number) or number != int(number):
        raise Misfit(f"is {shown(value)}; it must be {NEEDS[int]}")
    if abs(int(number)) > LARGEST:
        raise Misfit(f"is {shown(value)}; the largest whole number is {LARGEST}")
    return int(number)


def _number(value: Any) -> float:
    number = float(_read(value, float))
    if not math.isfinite(number):
        raise Misfit(f"is {shown(value)}; it must be a finite number")
    return number


def _read(value: Any, kind: type) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise Misfit(f"is {shown(value)}; it must be {NEEDS[kind]}")
    if not isinstance(value, str):
        return value
    word = value.strip().lower().replace("_", "")
    if re.fullmatch(r"[-+]?\d+", word):
        return int(word) if len(word) < 400 else math.inf
    if re.fullmatch(r"[-+]?(\.nan|nan)", word):
        return math.nan
    if re.fullmatch(r"[-+]?(\.inf|inf|infinity)", word):
        return math.inf
    try:
        return float(word)
    except ValueError:
        raise Misfit(f"is {shown(value)}; it must be {NEEDS[kind]}") from None
