"""The checkpoints in a run's folder: which are whole, and which is the newest."""

from __future__ import annotations

import re
from pathlib import Path

from mindlong.checkpoints import manifest
from mindlong.utils.errors import InputFileError
from mindlong.utils.log import get_logger

FOLDER, ASIDE = "checkpoints", ".tmp"
_STEP = re.compile(r"step-(\d{8,})")


def latest(run_dir: str | Path) -> Path | None:
    """The checkpoint of the highest step that has a valid manifest and files of the right sizes, or
    None.

    Leftovers of interrupted saves and damaged folders are named in the log.
    """
    for line in leftovers(run_dir):
        get_logger().warning("%s", line)
    found = whole(_folder(run_dir))
    return found[-1] if found else None


def has_checkpoint(run_dir: str | Path) -> bool:
    """Whether a run has a checkpoint from which it would go on. Says nothing to the log."""
    return bool(whole(_folder(run_dir)))


def leftovers(run_dir: str | Path) -> list[str]:
    """A sentence on everything among the checkpoints that is not one."""
    folder = _folder(run_dir)
    found = [
        f"{path}: left by a save that was interrupted; it is ignored, and the next save removes it"
        for path in sorted(folder.glob(f"step-*{ASIDE}"))
    ]
    problems = ((path, _problem(path)) for path in _steps(folder))
    return found + [f"{path}: ignored, because {problem}" for path, problem in problems if problem]


def _folder(run_dir: str | Path) -> Path:
    """The folder of checkpoints of a run; that folder itself serves too."""
    inner = Path(run_dir) / FOLDER
    return inner if inner.is_dir() else Path(run_dir)


def _steps(folder: Path) -> list[Path]:
    """Finished and damaged checkpoints alike, by rising step."""
    found = [(_STEP.fullmatch(path.name), path) for path in folder.glob("step-*") if path.is_dir()]
    return [path for _, path in sorted((int(match[1]), path) for match, path in found if match)]


def whole(folder: Path) -> list[Path]:
    """The checkpoints in `folder` that are whole, by rising step."""
    return [path for path in _steps(folder) if _problem(path) is None]


def _problem(folder: Path) -> str | None:
    """Why the folder is no checkpoint, by its manifest and sizes; None where it is one."""
    try:
        rows = manifest.read(folder)["files"]
        for name in rows:
            manifest.check_file(folder, name, rows, verify=False)
    except InputFileError as error:
        return str(error)
    return None
