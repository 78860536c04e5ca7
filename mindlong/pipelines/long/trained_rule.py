"""How the network at some weights was trained to be told given frames."""

from __future__ import annotations

from mindlong.pipelines.long.interpolate import Rule
from mindlong.pipelines.weights import config_of, locate
from mindlong.utils.errors import ConfigError, InputFileError


def trained_rule(weights: str) -> Rule:
    """Hint and mask as in the configuration of the training that made `weights`; the published ones where none is there."""
    where = locate(weights)
    try:
        config = config_of(where / "file" if where.is_dir() else where)
    except (InputFileError, ConfigError):
        return Rule()
    return Rule(config.interpolation.hint, config.interpolation.mask)
