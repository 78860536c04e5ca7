"""Trained weights of what denoises with the configuration that they were trained with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mindlong.checkpoints import description
from mindlong.checkpoints.dtypes import FLOATS, whole_numbers
from mindlong.checkpoints.files import open_named
from mindlong.checkpoints.finite import check_arrays
from mindlong.checkpoints.parts import read_part
from mindlong.checkpoints.recognise import recognise
from mindlong.checkpoints.run_config import config_of
from mindlong.config.schema import TrainConfig
from mindlong.config.section import model_of
from mindlong.utils.errors import ConfigError, InputFileError
from mindlong.utils.needed import needed
from mindlong.utils.remember import remembered
from mindlong.utils.shown import shown

if TYPE_CHECKING:
    from mindlong.checkpoints.weight_file import WeightFile
    from mindlong.networks.table import Match


@dataclass(frozen=True)
class Trained:
    """Weights with the training configuration that belongs to them."""

    arrays: dict[str, np.ndarray]
    config: TrainConfig
    where: Path


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
    whole = [
        f"{shown(n, most=200)!r} ({a.dtype})" for n, a in rows.items() if a.dtype not in FLOATS
    ]
    if whole:
        raise InputFileError(f"{held.path}: {whole_numbers(whole)}")
    with np.errstate(over="ignore"):  # what float32 has not is found below
        arrays = {name: np.asarray(lazy.read(), np.float32) for name, lazy in rows.items()}
    check_arrays(arrays, str(held.path))
    return Trained(arrays, config, held.path)


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
