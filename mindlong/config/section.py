"""From a `model` section as plain data to the spec of the network."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mindlong.config.load import model_of


def spec_of(section: Mapping[str, Any]) -> Any:
    """The spec that a `model` section of a configuration describes. Raises ConfigError where it is
    not one.
    """
    return model_of(section, "the description of the network").spec()
