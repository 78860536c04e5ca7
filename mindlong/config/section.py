"""From a `model` section as plain data to the spec of the network."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from omegaconf import OmegaConf

from mindlong.config.load import model_node


def spec_of(section: Mapping[str, Any]) -> Any:
    """The spec that a `model` section of a configuration describes. Raises ConfigError where it is
    not one.
    """
    node = model_node(dict(section), {}, "the description of the network")
    return OmegaConf.to_object(node).spec()
