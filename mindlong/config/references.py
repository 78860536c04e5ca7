"""${section.key} in a path: the value of another key of the same configuration. Nothing else is
looked up: no environment, no resolvers; and a prompt is never touched.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from mindlong.config.leaves import Leaf
from mindlong.utils.errors import ConfigError, did_you_mean

REFERENCE = re.compile(r"\$\{([^{}]*)\}")
DEEPEST = 8  # references to references


def resolved(values: Mapping[str, Any], keys: Mapping[str, Leaf], place: Any) -> dict[str, Any]:
    """The values by dotted key with every reference in a path replaced.

    Args:
        keys: the schema's. place: key -> where the user wrote it, for messages.

    Raises:
        ConfigError: a reference to no key, to one that holds no text, to itself, or a resolver.
    """
    found = dict(values)
    for key, value in values.items():
        if key in keys and not keys[key].said("text"):
            found[key] = _resolved(value, values, keys, f"{place(key)}: {key}", 0)
    return found


def _resolved(
    value: Any, values: Mapping[str, Any], keys: Mapping[str, Leaf], where: str, depth: int
) -> Any:
    if isinstance(value, list):
        return [_resolved(part, values, keys, where, depth) for part in value]
    if isinstance(value, dict):
        return {k: _resolved(part, values, keys, where, depth) for k, part in value.items()}
    if not isinstance(value, str) or "${" not in value:
        return value
    if depth == DEEPEST:
        raise ConfigError(f"{where} is {value!r}, which refers to itself")

    def other(match: re.Match) -> str:
        name = match[1].strip()
        if ":" in name:
            raise ConfigError(
                f"{where} is {value!r}; ${{...}} can name another key, nothing else is looked up"
            )
        if name not in keys:
            raise ConfigError(
                f"{where} refers to {name!r}, which is no key.{did_you_mean(name, keys)}"
            )
        target = values.get(name, keys[name].default)
        if not isinstance(target, str):
            raise ConfigError(f"{where} refers to {name}, which holds {target!r} and no text")
        return _resolved(target, values, keys, where, depth + 1)

    return REFERENCE.sub(other, value)
