"""A `model` section: typed and checked, and the spec of the network that it describes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mindlong.config import shipped
from mindlong.config.command_line import WHERE, Pair, pairs
from mindlong.config.given import Given
from mindlong.config.leaves import built, leaves
from mindlong.config.rules import check
from mindlong.config.yaml_file import Tree, read_tree
from mindlong.networks import table
from mindlong.utils.errors import ConfigError, did_you_mean

MODEL = "model"


def spec_of(section: Mapping[str, Any]) -> Any:
    """The spec that a `model` section of a configuration describes. Raises ConfigError where it is
    not one.
    """
    return model_of(section, "the description of the network").spec()


def load_model(path: str | Path, arguments: Sequence[str] = ()) -> Any:
    """The typed model section of a model file, with `key=value` pairs put over it (keys without the
    `model.`).

    Raises:
        ConfigError: as `load`.
    """
    return _model(read_tree(shipped.located(path, MODEL)), pairs(arguments))


def model_of(section: Mapping[str, Any], where: str, arguments: Sequence[Pair] = ()) -> Any:
    """The typed model section of a mapping such as a model file holds; `where` is for messages.

    Raises:
        ConfigError: as `load`.
    """
    return _model(Tree(where, dict(section)), arguments)


def set_keys(section: Mapping[str, Any], where: str, arguments: Sequence[Pair]) -> dict[str, Any]:
    """The typed values of those keys of a model that a mapping or the command line sets, by name.

    Raises:
        ConfigError: an unknown key or a wrong type.
    """
    given, _ = _given(Tree(where, dict(section)), arguments)
    return given.values()


def _model(tree: Tree, arguments: Sequence[Pair]) -> Any:
    given, schema = _given(tree, arguments)
    values = built(schema, given.values())
    check(values, given.blame, given.place)
    return values


def _given(tree: Tree, arguments: Sequence[Pair]) -> tuple[Given, type]:
    schema = family_of(tree, [Pair(f"{MODEL}.{pair.key}", pair.words) for pair in arguments])
    keys = leaves(schema)
    given = Given(keys, tree.where, lambda key: f"unknown key {key!r}.{did_you_mean(key, keys)}")
    given.add_tree(tree)
    given.add_pairs(arguments)
    return given, schema


def family_of(model: Tree, of_model: Sequence[Pair]) -> type:
    """The keys of the family that a `model` section or the command line names."""
    named = next((p.words for p in reversed(of_model) if p.key == f"{MODEL}.family"), None)
    where = WHERE if named else model.place("family")
    return family_schema(named or model.values.get("family"), where)


def family_schema(family: str | None, where: str) -> type:
    """The dataclass of a family's model section. Raises ConfigError where the family is missing or
    unknown.
    """
    known = table.families()
    if family is None:
        raise ConfigError(f"{where}: model.family is missing; it must be one of {', '.join(known)}")
    if family not in known:
        raise ConfigError(f"{where}: model.family is {family!r}.{did_you_mean(str(family), known)}")
    return table.get(family).keys
