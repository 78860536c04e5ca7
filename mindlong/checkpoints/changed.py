"""The few tensors that a tuning changes, as a file of their own, and putting them over the weights
they were tuned from.

Such a file holds `unet.NAME` for every tensor that is not the base's, and `base`, a fingerprint of
those that are.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mindlong.checkpoints.files import open_weights
from mindlong.checkpoints.lazy import Lazy
from mindlong.config.yaml_file import read_yaml
from mindlong.utils.errors import InputFileError

if TYPE_CHECKING:
    from mindlong.checkpoints.parts import Part
    from mindlong.checkpoints.weight_file import WeightFile

FILE, BASE, PREFIX = "tuned", "base", "unet."
LORA = "pytorch_lora_weights.safetensors"  # as diffusers calls it
ENTRIES = 16  # of every tensor in a fingerprint


def fingerprint(arrays: Mapping[str, np.ndarray | Lazy], names: Iterable[str]) -> np.ndarray:
    """uint8 (32,): a hash of names, shapes and a few evenly spaced numbers of each tensor, in half
    precision, so that it does not depend on how the file stores them.
    """
    found = hashlib.sha256()
    for name in sorted(names):
        held = arrays[name]
        array = np.asarray(held.read() if isinstance(held, Lazy) else held)
        few = array.reshape(-1)[
            np.linspace(0, array.size - 1, min(array.size, ENTRIES)).astype(int)
        ]
        found.update(f"{name}{array.shape}".encode() + few.astype(np.float16).tobytes())
    return np.frombuffer(found.digest(), np.uint8).copy()


def base_of(folder: Path) -> str:
    """What the tensors or the LoRA of `folder` were tuned from, where it holds those alone: the
    weights that the training beside them names; "" for any other folder.
    """
    held = [path.name for path in folder.glob("*.safetensors")]
    if (
        not folder.is_dir()
        or held not in ([f"{FILE}.safetensors"], [LORA])
        or not (folder / "config.yaml").is_file()
    ):
        return ""
    config = read_yaml(folder / "config.yaml")
    named = (
        (config.get("distil") or {}).get("teacher"),
        (config.get("latents") or {}).get("unet_weights"),
    )
    return next((name for name in named if isinstance(name, str) and name), "")


def tuned_file(path: Path) -> Path:
    """The file of tuned tensors: `path`, or that in the folder. Raises InputFileError where there
    is none.
    """
    file = path / f"{FILE}.safetensors" if path.is_dir() else path
    if not file.is_file():
        raise InputFileError(
            f"{path} holds no {FILE}.safetensors, the tensors that a tuning changes"
        )
    return file


def open_tuned(path: Path) -> WeightFile:
    """The file of `tuned_file`, opened. Raises InputFileError where it is none, or another kind."""
    file = tuned_file(path)
    held = open_weights(file)
    if BASE not in held or not any(name.startswith(PREFIX) for name in held):
        raise InputFileError(
            f"{file} is no file of tuned tensors: it has no {f'{PREFIX}*' if BASE in held else BASE}"
        )
    return held


def over(part: Part, folder: Path) -> Part:
    """The UNet `part` with what a folder of `base_of` holds put over it, tensors or a LoRA. Raises
    as `tuned_over` and `merge`.
    """
    lora = folder / LORA
    if not lora.is_file():
        return tuned_over(part, folder)
    from mindlong.checkpoints.lora.merge import merge  # few folders are so: the others start sooner
    from mindlong.config.lora_words import every

    return merge({"network": part}, every([str(lora)]), key="weights").parts["network"]


def tuned_over(part: Part, path: Path) -> Part:
    """The UNet `part` with the tensors of a tuned file put over it.

    `path` is the file, or the folder of a checkpoint that has one. Raises InputFileError where it
    is none or was tuned from other weights.
    """
    held = open_tuned(path)
    changed = {
        name.removeprefix(PREFIX): held.lazy(name) for name in held if name.startswith(PREFIX)
    }
    _check(part, changed, held, held.path)
    return replace(part, arrays={**part.arrays, **changed})


def _check(part: Part, changed: Mapping[str, Lazy], held: WeightFile, file: Path) -> None:
    for name, lazy in changed.items():
        if name in part.arrays and part.arrays[name].shape != lazy.shape:
            raise InputFileError(
                f"{file}: {name} has the shape {list(lazy.shape)}, in the weights below it "
                f"{list(part.arrays[name].shape)}"
            )
    if not np.array_equal(
        fingerprint(part.arrays, set(part.arrays) - set(changed)), held.read(BASE)
    ):
        raise InputFileError(
            f"{file} was tuned from other weights than these; name the ones that its run started from"
        )
