"""What a config.json of diffusers or transformers may say of a network that is built here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mindlong.utils.errors import InputFileError
from mindlong.utils.shown import shown


def natural(config: Mapping[str, Any], key: str) -> bool:
    """Whether `key` holds a whole number from 1."""
    return type(config.get(key)) is int and config[key] > 0


def refuse_others(config: Mapping[str, Any], only: Mapping[str, Sequence[Any]]) -> None:
    """Raise InputFileError where a config asks for something that is not built here.

    Args:
        only: keys that change what a network computes, and the values that are built.
    """
    for key, values in only.items():
        if key in config and config[key] not in values:
            known = " or ".join(repr(value) for value in values)
            raise InputFileError(
                f"config.json says {key} {shown(repr(config[key]), most=60)}; built here is {known}"
            )
