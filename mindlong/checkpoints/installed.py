"""Weights that an installed package carries in its folder. The package itself is not imported."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from mindlong.utils.errors import InputFileError

PREFIX = "installed:"
WEIGHTS = ("model.safetensors", "pytorch_model.bin")


def folder_of(named: str, key: str) -> Path:
    """The folder with weights in the package that `named` ("installed:NAME") means.

    Raises:
        InputFileError: no such package, or none of its folders holds weights.
    """
    name = named.removeprefix(PREFIX).replace("-", "_")
    found = importlib.util.find_spec(name) if name.isidentifier() else None
    if found is None or not found.origin:
        raise InputFileError(f"{key}: no package {name!r} is installed")
    where = Path(found.origin).parent
    for file in WEIGHTS:
        for place in sorted(where.rglob(file)):
            return place.parent
    raise InputFileError(f"{key}: {where} holds neither {' nor '.join(WEIGHTS)}")
