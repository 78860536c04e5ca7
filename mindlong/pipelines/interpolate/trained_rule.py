"""How the network at some weights was trained to be conditioned on given frames."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mindlong.checkpoints.locate import locate
from mindlong.checkpoints.run_config import config_of
from mindlong.diffusion.hints import Rule
from mindlong.utils.errors import ConfigError, InputFileError

if TYPE_CHECKING:
    from mindlong.config.schema import TrainConfig


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
