"""Files that come with the package, under names that are good in any working folder."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from mindlong.utils.errors import InputFileError
from mindlong.utils.shown import shown

SHIPPED = "shipped:"  # shipped:NAME/FILE lies beside the weights of that name


def placed(path: str | Path) -> Path:
    """The file that a path names; `shipped:NAME/FILE` is one of the package. Raises InputFileError
    for one that would lead out of the package.
    """
    said = str(path)
    if not said.startswith(SHIPPED):
        return Path(path)
    if not stays(said):
        raise InputFileError(
            f"{shown(said)} is no file of the package; one is named shipped:NAME/FILE, without .."
        )
    return Path(__file__).parents[1] / "weights" / said.removeprefix(SHIPPED)


def stays(said: str) -> bool:
    """Whether `shipped:...` names something inside of the package, be it there or not."""
    inner = PurePosixPath(said.removeprefix(SHIPPED))
    return not inner.is_absolute() and ".." not in inner.parts and "\0" not in said
