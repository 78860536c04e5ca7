"""How the network at some weights was trained to be conditioned on given frames."""

from __future__ import annotations

from mindlong.checkpoints.find import config_of, locate
from mindlong.config.schema import TrainConfig
from mindlong.diffusion.hints import Rule
from mindlong.utils.errors import ConfigError, InputFileError


def training_of(weights: str) -> TrainConfig | None:
    """The configuration of the training that made `weights`; None where none lies beside them."""
    where = locate(weights)
    try:
        return config_of(where / "file" if where.is_dir() else where)
    except (InputFileError, ConfigError):
        return None


def trained_rule(weights: str) -> Rule:
    """Hint and mask as in the training that made `weights`; the published ones where nothing says
    it.
    """
    trained = training_of(weights)
    return Rule(trained.interpolation.hint, trained.interpolation.mask) if trained else Rule()
