"""Files that come with the package, under names that are good in any working folder."""

from __future__ import annotations

from pathlib import Path

SHIPPED = "shipped:"  # shipped:NAME/FILE lies beside the weights of that name


def placed(path: str | Path) -> Path:
    """The file that a path names; `shipped:NAME/FILE` is one of the package."""
    said = str(path)
    if not said.startswith(SHIPPED):
        return Path(path)
    return Path(__file__).parents[1] / "weights" / said.removeprefix(SHIPPED)
