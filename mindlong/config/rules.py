"""Checks that types cannot express: allowed words, ranges, and fields that must agree with each
other.
"""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from typing import Any

from mindlong.utils.errors import ConfigError, did_you_mean


def check(values: Any, where: str) -> None:
    """Check every field of a configuration, then what its sections say of themselves
    (`problems()`).

    Raises:
        ConfigError: one sentence naming the field, what it got and what it needs.
    """
    _check_fields(values, where, "")
    problems = getattr(values, "problems", None)
    if problems is not None:
        for sentence in problems():
            raise ConfigError(f"{where}: {sentence}")


def _check_fields(node: Any, where: str, prefix: str) -> None:
    for f in fields(node):
        value, name = getattr(node, f.name), prefix + f.name
        if is_dataclass(value):
            _check_fields(value, where, name + ".")
            continue
        _check_choice(value, f.metadata.get("choices"), f"{where}: {name}")
        _check_minimum(value, f.metadata.get("minimum"), f"{where}: {name}")


def _check_choice(value: Any, choices: tuple[str, ...] | None, name: str) -> None:
    for word in value if isinstance(value, list | tuple) else [value]:
        if choices and word is not None and word not in choices:
            hint = did_you_mean(str(word), choices)
            raise ConfigError(
                f"{name} is {word!r}; it must be one of {', '.join(choices)}.{hint if 'mean' in hint else ''}"
            )


def _check_minimum(value: Any, minimum: float | None, name: str) -> None:
    for number in value if isinstance(value, list | tuple) else [value]:
        if minimum is not None and number is not None and number < minimum:
            raise ConfigError(f"{name} is {number}; it must be at least {minimum:g}")
