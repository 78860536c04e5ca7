"""A run's folder: what of it is only wrapping, and how a run that made nothing leaves nothing."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Container, Iterable
from pathlib import Path

from mindlong.utils import system
from mindlong.utils.atomic import ASIDE
from mindlong.utils.claim import FILE as LOCK

# what a run writes about itself before it has made anything
RECORD = "video.json"  # written last: a folder without it is unfinished
CONFIG = "config.yaml"
LEVELS = "levels"  # a folder: the frames of a hierarchy after each level, as videos
SOURCE = "source"  # the name of the video that was edited, without suffix
WRAPPING = (LOCK, "config.yaml", "log.txt", "run.json", "work.json")
_JOURNAL = re.compile(r"journal-\d+\.jsonl|[\w-]+\.claim")  # who is at work on what


def is_wrapping(name: str) -> bool:
    """Whether a file of that name is about a run, not made by it."""
    return name in WRAPPING or bool(_JOURNAL.fullmatch(name) or ASIDE.fullmatch(name))


def made_nothing(
    folder: Path, ours: Callable[[str], bool] = is_wrapping, besides: Container[str] = ()
) -> bool:
    """Whether there is nothing in `folder` but wrapping and empty folders.

    Args:
        ours: which names do not count.
        besides: what of the folder itself is not looked at.
    """
    for path in folder.iterdir():
        if path.name in besides:
            continue
        if path.is_symlink():
            return False
        if path.is_dir():
            if not made_nothing(path, ours):
                return False
        elif not ours(path.name):
            return False
    return True


def clear(
    folder: Path, ours: Callable[[str], bool] = is_wrapping, besides: Container[str] = ()
) -> None:
    """Remove the files of `folder` that are `ours`, and folders inside that this leaves empty. What
    is not ours stays, and so does what is `besides` in the folder itself.
    """
    if not folder.is_dir() or folder.is_symlink():
        return
    for path in [path for path in folder.iterdir() if path.name not in besides]:
        if path.is_dir() and not path.is_symlink():
            unwrap(path, ours)
        elif ours(path.name):
            path.unlink(missing_ok=True)


def unwrap(folder: Path, ours: Callable[[str], bool] = is_wrapping) -> None:
    """`clear`, and remove the folder itself if that leaves it empty."""
    clear(folder, ours)
    remove_empty([folder])


def make(folder: Path, key: str) -> list[Path]:
    """Make `folder`, given under `key`, and what is missing above it; returns what was made, the
    lowest first.

    Raises:
        SystemFault: a file is in the way, no permission, ...
    """
    with system.explained(folder, key):
        missing = [p for p in (folder, *folder.parents) if not p.exists()]
        folder.mkdir(parents=True, exist_ok=True)
    return missing


def remove_empty(folders: Iterable[Path]) -> None:
    """Remove those of `folders` that are empty, in this order."""
    for folder in folders:
        with contextlib.suppress(OSError):
            folder.rmdir()
