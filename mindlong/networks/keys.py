"""What the dataclasses of `model` sections share: each network's stands in its own keys.py."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from typing import Any, TypeVar

from mindlong.utils.errors import ConfigError

T = TypeVar("T")


def problems_of_spec(model: Any) -> Iterator[str]:
    """What is wrong with the spec that a section describes, as one sentence; nothing where it can
    be made.
    """
    try:
        model.spec()
    except (ConfigError, ValueError) as error:
        yield f"model: {error}"


def spec_of(section: Any, kind: type[T]) -> T:
    """The spec of `kind` whose fields are the keys of a section, but for its family."""
    given = {f.name: frozen(getattr(section, f.name)) for f in fields(section)}
    given.pop("family")
    return kind(**given)


def frozen(value: Any) -> Any:
    """A key's value as specs hold it."""
    return tuple(value) if isinstance(value, list) else value
