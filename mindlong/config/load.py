"""From a YAML file and `key=value` pairs to a typed, checked configuration. No MindSpore here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import yaml
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from mindlong.config import video_infinity_json
from mindlong.config.families import family_schema
from mindlong.utils.errors import ConfigError, did_you_mean

T = TypeVar("T")


@dataclass(frozen=True)
class Loaded:
    """A configuration ready for use: `values` typed, `text` the resolved YAML to save beside the
    output.
    """

    values: Any
    text: str
    path: Path | None


def read_yaml(path: str | Path) -> dict[str, Any]:
    """The mapping in a YAML file. Raises ConfigError where it is missing, not YAML or not a
    mapping.
    """
    path = Path(path)
    if not path.is_file():
        near = sorted(p.name for p in path.parent.glob("*.yaml")) if path.parent.is_dir() else []
        hint = did_you_mean(path.name, near) if near else ""
        raise ConfigError(f"no configuration file at {path}.{hint}")
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not readable YAML: {' '.join(str(error).split())}") from None
    if not isinstance(content, dict):
        raise ConfigError(
            f"{path} holds a {type(content).__name__}; a mapping of keys to values is needed"
        )
    return content


def parse_overrides(pairs: Sequence[str]) -> dict[str, Any]:
    """`["train.steps=20", "model.dim=8"]` as a nested mapping; values are read as YAML."""
    tree: dict[str, Any] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key or key.startswith("-"):
            raise ConfigError(
                f"{pair!r} is not understood: overrides are written key=value, for example train.steps=20"
            )
        _put(tree, key.split("."), _value(key, value))
    return tree


def _value(key: str, text: str) -> Any:
    try:
        return OmegaConf.create(f"v: {text}" if text else "v: ''").v
    except (OmegaConfBaseException, yaml.YAMLError):
        return text  # free text such as a prompt with a colon


def _put(tree: dict[str, Any], keys: list[str], value: Any) -> None:
    for key in keys[:-1]:
        inner = tree.setdefault(key, {})
        if not isinstance(inner, dict):
            raise ConfigError(
                f"{'.'.join(keys)}: {key!r} was given a value of its own before; give either it or its parts"
            )
        tree = inner
    tree[keys[-1]] = value


def _located(name: str, base: Path | None) -> Path:
    """A path written in a configuration: relative to that file if it exists there, else to the
    current folder.
    """
    beside = (base.parent / name) if base else Path(name)
    return beside if beside.exists() else Path(name)


def _resolve_model(tree: dict[str, Any], base: Path | None, overrides: dict[str, Any]) -> Any:
    """The `model` section as a typed node: a path is read, the family chooses the schema."""
    given = tree.pop("model", None)
    extra = overrides.pop("model", {})
    if isinstance(extra, str):
        given, extra = extra, {}
        base = None
    if isinstance(given, str):
        given = read_yaml(_located(given, base))
    if given is None and not extra:
        return None
    return model_node({**(given or {})}, extra, where=str(base or "the configuration"))


def model_node(given: dict[str, Any], extra: dict[str, Any], where: str) -> DictConfig:
    """A model's keys merged over the schema of its family."""
    family = extra.get("family", given.get("family"))
    schema = family_schema(family, where)
    return _merge(OmegaConf.structured(schema), [given, extra], where, prefix="model.")


def _merge(
    schema: DictConfig, layers: Sequence[dict[str, Any]], where: str, prefix: str = ""
) -> DictConfig:
    node = schema
    for layer in layers:
        _check_keys(schema, layer, where, prefix)
        try:
            node = OmegaConf.merge(node, layer)
        except OmegaConfBaseException as error:
            raise ConfigError(_plain(error, where, prefix)) from None
    return node


def _check_keys(schema: DictConfig, layer: dict[str, Any], where: str, prefix: str) -> None:
    for key, value in layer.items():
        if key not in schema:
            raise ConfigError(
                f"{where}: unknown key {prefix + str(key)!r}.{did_you_mean(str(key), [str(k) for k in schema])}"
            )
        inner = schema._get_node(key)
        if (
            isinstance(inner, DictConfig)
            and not inner._is_none()
            and OmegaConf.get_type(inner) not in (None, dict, Any)
        ):
            if not isinstance(value, dict):
                raise ConfigError(
                    f"{where}: {prefix}{key} is a group of keys, got {value!r}; write {prefix}{key}.NAME=value"
                )
            _check_keys(inner, value, where, f"{prefix}{key}.")


def _plain(error: OmegaConfBaseException, where: str, prefix: str) -> str:
    first = str(error).splitlines()[0]
    key = f"{prefix}{error.full_key}" if getattr(error, "full_key", None) else "a value"
    return f"{where}: {key}: {first}"


def load(path: str | Path | None, pairs: Sequence[str], schema: type[T]) -> Loaded:
    """Read `path`, put the `key=value` pairs over it, and return the typed configuration.

    Raises:
        ConfigError: an unknown key (with the nearest known one), a wrong type, a missing file, a
            value out of range.
    """
    base = Path(path) if path else None
    tree, overrides = (read_yaml(base) if base else {}), parse_overrides(pairs)
    if video_infinity_json.is_one(tree):
        tree = video_infinity_json.translated(tree, str(base))
    if hasattr(schema, "chosen"):  # a schema that has a section of what the configuration chooses
        schema = schema.chosen({**tree, **overrides})
        overrides = schema.placed(overrides)
    model = (
        _resolve_model(tree, base, overrides) if "model" in schema.__dataclass_fields__ else None
    )
    where = str(base) if base else "the command line"
    node = _merge(OmegaConf.structured(schema), [tree], where)
    node = _merge(node, [overrides], "the command line")
    if model is not None:
        node.model = model
    return _finish(node, base, where)


def _finish(node: DictConfig, base: Path | None, where: str) -> Loaded:
    from mindlong.config.rules import check

    try:
        text = OmegaConf.to_yaml(node, resolve=True)
        values = OmegaConf.to_object(node)
    except OmegaConfBaseException as error:
        raise ConfigError(_plain(error, where, "")) from None
    check(values, where)
    return Loaded(values, text, base)


def load_model(path: str | Path, pairs: Sequence[str] = ()) -> Any:
    """The typed model section of a model file, with `key=value` pairs put over it (keys without the
    `model.`).
    """
    from mindlong.config.rules import check

    node = model_node(read_yaml(path), parse_overrides(pairs), str(path))
    values = OmegaConf.to_object(node)
    check(values, str(path))
    return values
