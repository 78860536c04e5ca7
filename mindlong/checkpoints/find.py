"""Finding trained weights and the configuration they were trained with."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mindlong.checkpoints import safetensors_file
from mindlong.checkpoints.folders import SUFFIXES, parts_in
from mindlong.checkpoints.store import latest, load
from mindlong.config.load import load as load_config
from mindlong.config.schema import TrainConfig
from mindlong.utils import hub
from mindlong.utils.errors import InputFileError, did_you_mean

SHIPPED = Path(__file__).parents[1] / "weights"


@dataclass(frozen=True)
class Trained:
    """Weights with the training configuration that belongs to them."""

    arrays: dict[str, np.ndarray]
    config: TrainConfig
    where: Path


def shipped_names() -> list[str]:
    """The models that come with the package."""
    return sorted({p.parent.name for p in SHIPPED.glob("*/*.safetensors")})


def find_trained(weights: str) -> Trained:
    """Weights named as `shipped:NAME`, a run folder (its newest checkpoint), a checkpoint folder,
    or a weights file.

    The averaged weights are taken where a checkpoint has them. A `config.yaml` must lie beside or
    above the weights.

    Raises:
        InputFileError: nothing there, no configuration beside it, or a damaged checkpoint.
    """
    where = locate(weights)
    return Trained(_arrays(where), config_of(where), where)


def locate(weights: str, key: str = "weights") -> Path:
    """The file, the checkpoint folder or the pipeline's folder that `weights` means.

    `key` is what the user wrote it under. Raises InputFileError where there is none.
    """
    if weights.startswith("shipped:"):
        return _shipped(weights, key)
    path = Path(weights)
    if not path.exists():
        raise InputFileError(f"{key}: nothing at {weights}{_advice(weights)}")
    if (
        path.is_file()
        or (path / "manifest.json").exists()
        or any(parts_in(path))
        or _one_network(path)
    ):
        return path
    newest = latest(path)
    if newest is None:
        raise InputFileError(
            f"{key}: {path} holds neither a finished checkpoint (looked for step-*/manifest.json) nor a "
            "pipeline (looked for unet.safetensors, unet/config.json and the like)"
        )
    return newest


def _one_network(folder: Path) -> bool:
    return any(
        p.suffix in SUFFIXES or p.name.endswith(".index.json")
        for p in folder.iterdir()
        if p.is_file()
    )


def config_of(where: Path) -> TrainConfig:
    """The training configuration that belongs to the weights at `where`."""
    for folder in where.absolute().parents[:3]:
        if (folder / "config.yaml").is_file():
            return load_config(folder / "config.yaml", [], TrainConfig, saved=True).values
    raise InputFileError(
        f"weights: no config.yaml beside or above {where}; it says which network the weights belong to"
    )


def _advice(weights: str) -> str:
    if weights in shipped_names():
        return f". Did you mean shipped:{weights}?"
    return hub.advice(weights) or f"; give a run folder, a weights file, or one of {_offers()}"


def _offers() -> str:
    return ", ".join(f"shipped:{name}" for name in shipped_names())


def _shipped(weights: str, key: str) -> Path:
    name = weights.removeprefix("shipped:")
    if name not in shipped_names():
        raise InputFileError(
            f"{key}: no shipped model {name!r}.{did_you_mean(name, shipped_names())}"
        )
    file = SHIPPED / name / "model.safetensors"
    return file if file.is_file() else file.parent


def _arrays(where: Path) -> dict[str, np.ndarray]:
    if where.is_dir():
        name = "ema" if (where / "ema.safetensors").exists() else "network"
        return load(where, [name]).files[name]
    return {
        name: array.astype(np.float32) for name, array in safetensors_file.read_all(where).items()
    }
