"""A configuration key: a typed default, one line of help, and the values allowed."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import field
from typing import Any


def option(
    default: Any, text: str, *, choices: Sequence[str] | None = None, minimum: float | None = None
) -> Any:
    """A dataclass field whose help `text` is shown by `--help` and whose value is checked by
    `config.rules`.

    Args:
        default: the value where the user gives none. Lists and mappings are copied for every
            instance.
        text: one line, for the user.
        choices: the words allowed; looked at when a value is checked, so that a view of a table
            serves that may still grow.
        minimum: the smallest number allowed.
    """
    metadata = {"help": text, "choices": choices, "minimum": minimum}
    if isinstance(default, list | dict):
        return field(default_factory=lambda: copy.deepcopy(default), metadata=metadata)
    return field(default=default, metadata=metadata)
