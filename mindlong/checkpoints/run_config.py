"""The configuration of the training that made some weights."""

from __future__ import annotations

from pathlib import Path

from mindlong.checkpoints.folders import parts_in
from mindlong.config.load import load
from mindlong.config.schema import TrainConfig
from mindlong.utils.errors import ConfigError, InputFileError


def config_of(where: Path) -> TrainConfig:
    """The training configuration that belongs to the weights at `where`."""
    for folder in where.absolute().parents[:3]:
        if (folder / "config.yaml").is_file():
            return load(folder / "config.yaml", [], TrainConfig, saved=True).values
    raise InputFileError(
        f"weights: no config.yaml beside or above {where}; it says which network the weights belong to"
    )


def latent_training(where: Path) -> TrainConfig | None:
    """The configuration of the training that made the weights, where it is one of a latent
    family.
    """
    whole = where.is_dir() and any(parts_in(where))
    if (
        whole and not (where / "config.yaml").is_file()
    ):  # what lies above a whole pipeline is not its own
        return None
    try:
        config = config_of(where / "file" if where.is_dir() else where)
    except (InputFileError, ConfigError):
        return None
    return config if config.latents.vae else None
