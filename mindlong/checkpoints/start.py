"""The weights that a training starts from (`train.start`), for every kind of training.

A run that goes on from a checkpoint of its own does not look at them; they may be gone by then.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mindlong.checkpoints import saved_steps
from mindlong.checkpoints.files import open_named
from mindlong.checkpoints.inflate import inflate
from mindlong.checkpoints.part_places import read_text_encoder
from mindlong.checkpoints.parts import Part, read_part
from mindlong.checkpoints.recognise import recognise
from mindlong.networks import table
from mindlong.networks.unet import control_spec
from mindlong.utils.errors import InputFileError
from mindlong.utils.shown import shown

if TYPE_CHECKING:
    from mindlong.config.schema import TrainConfig

KEY, BASE = "train.start", "latents.unet_weights"


def start_of(config: TrainConfig) -> str:
    """What `train.start` names; "" where nothing is named or the run goes on from a checkpoint of
    its own, which holds everything; that of a LoRA's training holds the LoRA alone.
    """
    start = config.train.start
    if config.train.lora.wanted:
        return start
    return start if start and not saved_steps.has_checkpoint(config.run_dir) else ""


def base_of(config: TrainConfig) -> tuple[str, str]:
    """What a latent family's network starts from: (the key that names it, weights), or ("", "")."""
    start, base = start_of(config), config.latents.unet_weights
    return (KEY, start) if start else (BASE, base) if base else ("", "")


def read_start(config: TrainConfig, role: str = "network") -> Part:
    """The network of the configuration's family in `train.start`, or of one it can start from.

    Raises:
        InputFileError: nothing there, damaged, or weights of another family.
    """
    return read_part(open_named(config.train.start, KEY), role, config.model.family)


def pixel_arrays(config: TrainConfig) -> dict[str, np.ndarray]:
    """Of a network in pixels: its tensors, and those of the caption encoder where a file of ours
    has them, under the names of the cell that is trained.
    """
    held = open_named(config.train.start, KEY)
    match = recognise(held, None, config.model.family, "network")[0]
    if match.ours:
        return {name: np.asarray(lazy.read(), np.float32) for name, lazy in held.rows.items()}
    part = read_start(config)
    name = part.network.part
    return {f"{name}.{key}": np.asarray(a.read(), np.float32) for key, a in part.arrays.items()}


def text_of(config: TrainConfig) -> Part | None:
    """The text encoder in `train.start`, where it has one and the run trains one of its own."""
    if not start_of(config) or config.latents.text_weights:
        return None
    held = open_named(config.train.start, KEY)
    if not any(m.network.role == "text_encoder" for m in table.find(held.names(), extras=True)):
        return None
    return read_text_encoder(config.train.start, KEY)


def check_start(config: TrainConfig) -> dict[str, str]:
    """For a dry run: raise what the run would raise of the weights it starts from, and a row on
    them.

    Raises:
        InputFileError: nothing there, damaged, or of another family.
    """
    if not start_of(config):
        return {}
    role = table.get(config.model.family).role
    if config.interpolation.wanted:
        part = read_part(open_named(config.train.start, KEY), role)
        check_inflated(part, config, KEY)
    else:
        part = read_start(config, role)
        _check_fits(part, config)
    return {"start": f"from {shown(config.train.start)}, {part.size():,} numbers"}


def check_inflated(part: Part, config: TrainConfig, key: str) -> None:
    """Raise ConfigError where `part`, which `key` names, is no network that interpolation can start
    from. Reads no tensor.
    """
    entry, nothing = table.get(config.model.family), np.float32(0)
    needed = {
        e.ours: np.broadcast_to(nothing, e.our_shape)
        for e in entry.formats[0].entries(config.model.spec())
    }
    held = {name: np.broadcast_to(nothing, lazy.shape) for name, lazy in part.arrays.items()}
    inflate(held, needed, identity=False, key=key)


def _check_fits(part: Part, config: TrainConfig) -> None:
    spec = config.model.spec()
    needed = {e.ours: tuple(e.our_shape) for e in part.network.formats[0].entries(spec)}
    if config.infinet.lengths:  # what starts from another training of a branch takes that too
        branch = control_spec.names(spec, config.infinet.control())
        needed |= {e.ours: tuple(e.our_shape) for e in branch}
    wrong = [
        f"{name} is {list(lazy.shape)} there and {list(needed[name])} in the network"
        for name, lazy in part.arrays.items()
        if name in needed and tuple(lazy.shape) != needed[name]
    ]
    left = [name for name in part.arrays if name not in needed]
    if wrong or left:
        first = wrong[0] if wrong else f"{left[0]} has no place in the network"
        raise InputFileError(
            f"{KEY}: {len(wrong) + len(left)} tensors do not fit model: {shown(first, most=300)}"
        )
