"""The branch by itself: a file of `control.*`, and of the UNet's tensors that were trained with it
where some were.

It attaches to the base that it was trained on; with nothing of the UNet in it, to any base of the
same widths. The original's 160 `infinet.*` tensors are read and written too
(`mindlong.networks.unet.control_spec`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from mindspore import nn

from mindlong.checkpoints.faults import CorruptCheckpoint
from mindlong.checkpoints.files import open_weights, write_safetensors
from mindlong.checkpoints.load import load_into
from mindlong.networks.unet.control_spec import ControlSpec, from_original
from mindlong.utils.errors import ConfigError, InputFileError
from mindlong.utils.log import get_logger
from mindlong.utils.shown import shown

if TYPE_CHECKING:
    from mindlong.checkpoints.weight_file import WeightFile
    from mindlong.networks.unet.spec import UNetSpec

PREFIX, KEY = "control.", "control"
STRIPPED = ("unet.", "network.", "module.")


def read_branch(
    path: str | Path, control: ControlSpec | None = None, spec: UNetSpec | None = None
) -> dict[str, np.ndarray]:
    """The tensors in a branch's file, a run or a pipeline's folder: `control.*`, then those of the
    UNet that lie beside them.

    Args:
        control: what the file must hold; None takes any.
        spec: of the UNet; needed for a file of the original's `infinet.*`.

    Raises:
        InputFileError: no branch there. ConfigError: a branch of another form.
    """
    held = open_weights(path)
    named = {_plain(name): name for name in held}
    if any(name.startswith("infinet.") for name in named):
        return _original(held, named, spec)
    if not any(name.startswith(PREFIX) for name in named):
        raise InputFileError(
            f"{path} holds no control branch; its tensors would be called control.*"
        )
    said = branch_spec(held)
    if control and said and said != control:
        ours, theirs = asdict(control), asdict(said)
        key = next(k for k in ours if ours[k] != theirs[k])
        raise ConfigError(
            f"{path} holds a branch with {key} {theirs[key]!r}; {ours[key]!r} is asked for"
        )
    return {
        plain: np.asarray(held.read(name), np.float32)
        for plain, name in named.items()
        if not plain.startswith(("text_encoder.", "vae."))
    }


def branch_spec(held: WeightFile) -> ControlSpec | None:
    """What the file says of its branch, None where it says nothing. Raises CorruptCheckpoint where
    that is damaged.
    """
    text = held.metadata.get(KEY)
    if not text:
        return None
    try:
        return ControlSpec(**json.loads(str(text)))
    except (ValueError, TypeError, RecursionError, ConfigError) as error:
        raise CorruptCheckpoint(
            f"{held.path}: what its metadata says of the branch is damaged ({shown(error, most=80)})"
        ) from None


def write_branch(
    path: str | Path,
    arrays: Mapping[str, np.ndarray],
    control: ControlSpec,
    base: Mapping[str, np.ndarray],
    dtype: str = "float16",
) -> list[str]:
    """Write `control.*` and what differs from `base` in the UNet; returns the names of the latter.

    Args:
        arrays: of a ControlledUNet, names without prefix.
        base: of the UNet that the file is to be attached to.
        dtype: of the file.
    """
    changed = sorted(
        name
        for name, array in arrays.items()
        if not name.startswith(PREFIX)
        and (name not in base or not np.array_equal(array, base[name]))
    )
    kept = {
        name: array for name, array in arrays.items() if name.startswith(PREFIX) or name in changed
    }
    write_safetensors(path, kept, {KEY: json.dumps(asdict(control))}, dtype)
    return changed


def start_from(network: nn.Cell, arrays: Mapping[str, np.ndarray]) -> list[str]:
    """Give the network the arrays there are; returns the names that keep their first values, and
    logs how many.
    """
    fresh = sorted({p.name for p in network.get_parameters()} - set(arrays))
    load_into(network, arrays, allow=tuple(fresh))
    if fresh and arrays:
        get_logger().info("%d tensors start fresh, for instance %s", len(fresh), fresh[0])
    return fresh


def _original(
    held: WeightFile, named: Mapping[str, str], spec: UNetSpec | None
) -> dict[str, np.ndarray]:
    if spec is None:
        raise ConfigError(
            f"{held.path} holds InfiNet's own tensors; they can be read for a known UNet only"
        )
    arrays = {
        plain: np.asarray(held.read(name), np.float32)
        for plain, name in named.items()
        if plain.startswith("infinet.")
    }
    ours, dead = from_original(spec, arrays)
    if dead:
        get_logger().info(
            "%d of the %d tensors of %s belong to units that InfiNet makes and never uses",
            len(dead),
            len(arrays),
            held.path,
        )
    return ours


def _plain(name: str) -> str:
    for prefix in STRIPPED:
        name = name.removeprefix(prefix)
    return name
