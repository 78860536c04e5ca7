"""A configuration key: a typed default, one line of help, the values allowed, when it is read."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import field
from typing import Any


def option(
    default: Any,
    about: str,
    *,
    choices: Sequence[str] | None = None,
    minimum: float | None = None,
    maximum: float | None = None,
    when: str = "",
    text: bool = False,
    names: Sequence[str] | None = None,
) -> Any:
    """A dataclass field whose help `about` is shown by `--help` and whose value is checked by
    `config.rules`.

    Args:
        default: the value where the user gives none. Lists and mappings are copied for every
            instance.
        about: one line, for the user.
        choices: the words allowed.
        minimum, maximum: the smallest and the largest number allowed.
        when: the settings with which the key is read (`mindlong.config.conditions`); empty: all. A
            user who sets it under others is refused.
        text: prompts and the like, which are taken as they are typed.
        names: the value becomes the name of a file or folder, never a path; these names are taken.
    """
    metadata = {
        "help": about,
        "choices": choices,
        "minimum": minimum,
        "maximum": maximum,
        "when": when,
        "text": text,
        "names": names,
    }
    if isinstance(default, list | dict):
        return field(default_factory=lambda: copy.deepcopy(default), metadata=metadata)
    return field(default=default, metadata=metadata)


def section(kind: type) -> Any:
    """A dataclass field that holds a section of a configuration."""
    return field(default_factory=kind, metadata={"help": ""})
