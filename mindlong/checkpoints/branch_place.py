"""Where a control branch lies, without MindSpore."""

from __future__ import annotations

from pathlib import Path

from mindlong.checkpoints.locate import locate

FILE = "branch.safetensors"


def find_branch(weights: str, branch: str) -> Path | None:
    """The file of `branch` (a file, a folder with branch.safetensors, shipped:NAME), or the one
    beside `weights`, or None.

    Raises:
        InputFileError: `branch` names nothing.
    """
    place = locate(branch or weights)
    if place.is_dir() and (place / FILE).is_file():
        return place / FILE
    return place if branch else None
