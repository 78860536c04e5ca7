"""Finding trained weights and the configuration they were trained with."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mindlong.checkpoints import description, installed
from mindlong.checkpoints.faults import reading
from mindlong.checkpoints.files import open_weights
from mindlong.checkpoints.finite import check_arrays
from mindlong.checkpoints.folders import SUFFIXES, parts_in
from mindlong.checkpoints.manifest import is_ours
from mindlong.checkpoints.parts import read_part
from mindlong.checkpoints.recognise import recognise
from mindlong.checkpoints.store import latest
from mindlong.checkpoints.weight_file import WeightFile
from mindlong.config.load import load as load_config
from mindlong.config.load import model_of
from mindlong.config.schema import TrainConfig
from mindlong.networks.table import Match
from mindlong.utils import hub
from mindlong.utils.errors import ConfigError, InputFileError, nearest
from mindlong.utils.log import once
from mindlong.utils.needed import needed
from mindlong.utils.remember import remembered
from mindlong.utils.shown import shown

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


@remembered
def find_trained(weights: str, space: str = "") -> Trained:
    """Weights of what denoises, named as `shipped:NAME`, a run folder (its newest
    checkpoint), a checkpoint folder, a weights file of ours or of the original, or a folder with
    one.

    The averaged weights are taken where there are some. A `config.yaml` beside or above says how
    they were trained; where there is none, what the file says of itself does, and the size of the
    videos is unknown: `data.frames` is 0 and `data.size` empty.

    Raises:
        InputFileError: nothing there, nothing that says which network it is, numbers that are not
            finite, or a damaged file.
        ConfigError: the network works in another space than `space`, pixel or latent.
    """
    held = open_named(weights)
    match = recognise(held, part="network")[0]
    own_space = needed(match.network.denoiser, "denoiser").space
    if space and own_space != space:
        raise ConfigError(
            f"{held.path} is {match.network.about}, which works in {own_space}s, not in "
            f"{space}s; another pipeline= makes videos with it"
        )
    if match.ours:
        rows, config = held.rows, _config_of_ours(held, match)
    else:
        part = read_part(held, "network")
        rows = {f"{part.network.part}.{name}": lazy for name, lazy in part.arrays.items()}
        config = _described(part.network.section(part.spec), part.facts, held)
    arrays = {name: np.asarray(lazy.read(), np.float32) for name, lazy in rows.items()}
    check_arrays(arrays, str(held.path))
    return Trained(arrays, config, held.path)


def open_named(weights: str, key: str = "weights") -> WeightFile:
    """The open weights that `weights` means; remarks on them go to the log, once.

    `key` is what the user wrote it under. Raises InputFileError where there are none, or damaged
    ones.
    """
    held = open_weights(locate(weights, key))
    for note in held.notes:
        once(f"{shown(held.path)}: {shown(note)}", logging.WARNING)
    return held


def _config_of_ours(held: WeightFile, match: Match) -> TrainConfig:
    """The configuration of a training of ours, or what a converted file says of itself."""
    model = description.stored_model(held)
    try:
        trained = config_of(held.path)
    except InputFileError:
        if not model:
            raise
        trained = None
    facts = description.read_source(held).get(match.network.part, {})
    own = _described(model, facts, held) if model else None
    if own is None:
        return needed(trained, "a configuration")
    return trained if trained and trained.model.spec() == own.model.spec() else own


def _described(model: Mapping[str, Any], facts: Mapping[str, str], held: WeightFile) -> TrainConfig:
    """The configuration that a file's own words stand for; the size of the videos is unknown."""
    config = TrainConfig(model=model_of(dict(model), str(held.path)))
    config.data.frames, config.data.size = 0, []
    timesteps = facts.get("timesteps", "")
    if timesteps.isascii() and timesteps.isdecimal() and int(timesteps[:9]) > 0:
        config.diffusion.timesteps = int(timesteps[:9])
    return config


def locate(weights: str, key: str = "weights") -> Path:
    """The file, the checkpoint folder or the pipeline's folder that `weights` means.

    `key` is what the user wrote it under. Raises InputFileError where there is none.
    """
    if weights.startswith("shipped:"):
        return _shipped(weights, key)
    if weights.startswith(installed.PREFIX):
        return installed.folder_of(weights, key)
    path = Path(weights)
    with reading(path):
        return _located(path, key)


def _located(path: Path, key: str) -> Path:
    if not os.path.exists(path):
        raise InputFileError(
            f"{key}: nothing at {shown(path, most=300)}{_advice(shown(path, most=300))}"
        )
    whole = path.is_dir() and (is_ours(path) or any(parts_in(path)) or _one_network(path))
    if whole or not path.is_dir():
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
        close = nearest(name, shipped_names())
        meant = f" Did you mean {close[0]!r}?" if close else ""
        raise InputFileError(f"{key}: no shipped model {name!r}; there is {_offers()}.{meant}")
    file = SHIPPED / name / "model.safetensors"
    return file if file.is_file() else file.parent
