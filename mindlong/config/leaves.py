"""The keys of a schema: every leaf of nested dataclasses by its dotted name."""

from __future__ import annotations

import dataclasses
import functools
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Leaf:
    """A key.

    Attributes:
        key: its dotted name.
        hint: the type of its value.
        field: the dataclass field.
    """

    key: str
    hint: Any
    field: dataclasses.Field

    @property
    def section(self) -> str:
        """The dotted name of the section around it, "" for the top."""
        return self.key.rpartition(".")[0]

    @property
    def default(self) -> Any:
        """The value where the user gives none."""
        return default_of(self.field)

    def said(self, name: str) -> Any:
        """What `config.option.option` was given as `name`; None where the field is another's."""
        return self.field.metadata.get(name)


def default_of(field: dataclasses.Field) -> Any:
    """The value that a field has where none is given; None where it has to be given."""
    if field.default is not dataclasses.MISSING:
        return field.default
    return None if field.default_factory is dataclasses.MISSING else field.default_factory()


def leaves(schema: type, prefix: str = "") -> Mapping[str, Leaf]:
    """The keys of a dataclass in the order of its fields, sections opened."""
    return _leaves(schema, prefix)


@functools.lru_cache(maxsize=64)
def _leaves(schema: type, prefix: str) -> Mapping[str, Leaf]:
    found: dict[str, Leaf] = {}
    hints = _hints(schema)
    for f in dataclasses.fields(schema):
        if dataclasses.is_dataclass(hints[f.name]):
            found |= leaves(hints[f.name], f"{prefix}{f.name}.")
        else:
            found[prefix + f.name] = Leaf(prefix + f.name, hints[f.name], f)
    return found


@functools.lru_cache(maxsize=256)  # reading them takes longer than filling them
def _hints(schema: type) -> Mapping[str, Any]:
    return typing.get_type_hints(schema)


def sections(keys: typing.Iterable[str]) -> set[str]:
    """Every section that holds one of `keys`."""
    found: set[str] = set()
    for key in keys:
        while "." in key:
            key = key.rpartition(".")[0]
            found.add(key)
    return found


def value_at(values: Any, key: str) -> Any:
    """The value that a configuration has under a dotted key."""
    for name in key.split("."):
        values = getattr(values, name)
    return values


def built(schema: type, given: Mapping[str, Any], prefix: str = "") -> Any:
    """A dataclass from typed values by dotted key; what is not given has its default."""
    made, hints = {}, _hints(schema)
    for f in dataclasses.fields(schema):
        key = prefix + f.name
        if key in given:
            made[f.name] = given[key]
        elif dataclasses.is_dataclass(hints[f.name]):
            made[f.name] = built(hints[f.name], given, f"{key}.")
    return schema(**made)
