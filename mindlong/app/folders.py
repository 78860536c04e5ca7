"""Looking into folders that others write: they go while they are looked at, and some may not be
read. One such folder or file must not end the look at all others, so it counts as not there.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path


def listed(folder: Path) -> list[Path]:
    """What lies in a folder, by name; nothing where it is gone or may not be read."""
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []


def folders_in(folder: Path) -> list[Path]:
    """The folders in a folder, by name; links are none."""
    return [p for p in listed(folder) if os.path.isdir(p) and not os.path.islink(p)]


def files_in(folder: Path, suffixes: Iterable[str]) -> list[Path]:
    """The files in a folder that end so, by name. Links are none, since they could lead anywhere,
    and hidden ones neither, which are still being written.
    """
    found = [p for p in listed(folder) if p.suffix in suffixes and not p.name.startswith(".")]
    return [p for p in found if os.path.isfile(p) and not os.path.islink(p)]


def changed(path: Path) -> int:
    """When a file or folder was changed, in nanoseconds; 0 where it is not there."""
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0


def newest_first(paths: Iterable[Path]) -> list[Path]:
    """Files by when they were changed."""
    return sorted(paths, key=lambda p: (-changed(p), p.name))
