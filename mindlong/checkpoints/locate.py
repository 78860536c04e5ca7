"""Which file or folder `weights=` names, and where a control branch lies; without MindSpore."""

from __future__ import annotations

import os
from pathlib import Path

from mindlong.checkpoints import installed
from mindlong.checkpoints.faults import reading
from mindlong.checkpoints.folders import SUFFIXES, parts_in
from mindlong.checkpoints.manifest import is_ours
from mindlong.checkpoints.saved_steps import latest
from mindlong.utils import hub
from mindlong.utils.errors import InputFileError, nearest
from mindlong.utils.shown import shown

SHIPPED = Path(__file__).parents[1] / "weights"
BRANCH = "branch.safetensors"  # a control branch beside the weights that it belongs to


def shipped_names() -> list[str]:
    """The models that come with the package."""
    return sorted({p.parent.name for p in SHIPPED.glob("*/*.safetensors")})


def shipped_networks() -> list[str]:
    """Those of them that make videos or images; the others are a branch or an autoencoder alone."""
    apart = (BRANCH, "vae.safetensors")
    found = (p for p in SHIPPED.glob("*/*.safetensors") if p.name not in apart)
    return sorted({p.parent.name for p in found})


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


def find_branch(weights: str, branch: str) -> Path | None:
    """The file of `branch` (a file, a folder with branch.safetensors, shipped:NAME), or the one
    beside `weights`, or None.

    Raises:
        InputFileError: `branch` names nothing.
    """
    place = locate(branch or weights)
    if place.is_dir() and (place / BRANCH).is_file():
        return place / BRANCH
    return place if branch else None


def _located(path: Path, key: str) -> Path:
    if not os.path.exists(path):
        raise InputFileError(
            f"{key}: nothing at {shown(path, most=300)}{_advice(shown(path, most=300), key)}"
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


def _advice(weights: str, key: str) -> str:
    if weights in shipped_names():
        return f". Did you mean shipped:{weights}?"
    return hub.advice(weights) or f"; give a run folder, a weights file, or one of {_offers(key)}"


def _offers(key: str) -> str:
    names = shipped_networks() if key == "weights" else shipped_names()
    return ", ".join(f"shipped:{name}" for name in names)


def _shipped(weights: str, key: str) -> Path:
    name = weights.removeprefix("shipped:")
    if name not in shipped_names():
        close = nearest(name, shipped_names())
        meant = f" Did you mean {close[0]!r}?" if close else ""
        raise InputFileError(f"{key}: no shipped model {name!r}; there is {_offers(key)}.{meant}")
    file = SHIPPED / name / "model.safetensors"
    return file if file.is_file() else file.parent
