"""What the dataclasses of `model` sections share: each network's stands in its own keys.py."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from mindlong.utils.errors import ConfigError


def problems_of_spec(model: Any) -> Iterator[str]:
    """What is wrong with the spec that a section describes, as one sentence; nothing where it can
    be made.
    """
    try:
        model.spec()
    except (ConfigError, ValueError) as error:
        yield f"model: {error}"


def frozen(value: Any) -> Any:
    """A key's value as specs hold it."""
    return tuple(value) if isinstance(value, list) else value
