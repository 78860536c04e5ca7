"""Checks that types cannot express: allowed words, ranges, and fields that must agree with each
other.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from typing import Any

from mindlong.utils import names
from mindlong.utils.errors import ConfigError, did_you_mean
from mindlong.utils.shown import shown

Where = Callable[[str], str]


def check(values: Any, blame: Where, place: Where) -> None:
    """Check every field of a configuration, then what its sections say of themselves
    (`problems()`).

    Args:
        blame: sentence -> where the keys stand that it names. place: key -> where it was set.

    Raises:
        ConfigError: one sentence naming the field, what it got and what it needs.
    """
    _check_fields(values, place, "")
    for sentence in getattr(values, "problems", tuple)():
        raise ConfigError(f"{blame(sentence)}: {sentence}")


def _check_fields(node: Any, place: Where, prefix: str) -> None:
    for f in fields(node):
        value, name = getattr(node, f.name), prefix + f.name
        if is_dataclass(value):
            _check_fields(value, place, name + ".")
            continue
        for word in value if isinstance(value, list | tuple) else [value]:
            reason = _fault(word, f.metadata)
            if reason:
                raise ConfigError(f"{place(name)}: {name} is {reason}")


def _fault(value: Any, limits: Any) -> str:
    """What is wrong with one value, as the end of a sentence; "" where nothing is."""
    choices, minimum, maximum = (limits.get(n) for n in ("choices", "minimum", "maximum"))
    if isinstance(value, str):
        fault = _text_fault(value, limits.get("names"))
        if fault:
            return f"{shown(repr(value), most=80)}: {fault}"
    if choices and value is not None and value not in choices:
        hint = did_you_mean(str(value), choices)
        words = ", ".join(word or "''" for word in choices)
        return f"{value!r}; it must be one of {words}.{hint if 'mean' in hint else ''}"
    if not isinstance(value, int | float) or isinstance(value, bool):
        return ""
    if not math.isfinite(value):
        return f"{value}; it must be a finite number"
    if minimum is not None and value < minimum:
        return f"{value}; it must be at least {minimum:g}"
    if maximum is not None and value > maximum:
        return f"{value}; it must be at most {maximum:.15g}"
    return ""


def _text_fault(value: str, taken: tuple[str, ...] | None) -> str | None:
    if "\0" in value:
        return "it holds the character NUL, which no path and no prompt can"
    return names.problem(value, taken) if taken is not None else None
