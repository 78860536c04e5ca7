"""The folder of kept graphs: found, put in whole, thrown out when they are many."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

from mindlong.utils.trust import distrust
from mindlong.utils.user_cache import cache_folder

MOST_BYTES = 2 << 30
GRAPH, ABOUT = "graph.mindir", "about.json"


@dataclass(frozen=True)
class About:
    """What is known of a kept graph.

    Attributes:
        sha256: of its file.
        probe: the digest of what the graph gave for the probe when it had just been compiled.
        versions: for people who look into the folder.
    """

    sha256: str
    probe: str
    versions: str


@dataclass(frozen=True)
class Kept:
    """A graph in the folder."""

    folder: Path
    about: About

    @property
    def graph(self) -> Path:
        """Its file."""
        return self.folder / GRAPH

    def forget(self) -> None:
        """Remove it."""
        shutil.rmtree(self.folder, ignore_errors=True)


def root() -> Path:
    """Where graphs are kept."""
    return cache_folder() / "graphs"


def find(key: str) -> Kept | None:
    """The graph kept under `key`, if it is there, whole, and this user's own."""
    folder = root() / key
    if not folder.is_dir() or distrust(folder / GRAPH) or distrust(folder / ABOUT):
        return None
    try:
        kept = Kept(folder, About(**json.loads((folder / ABOUT).read_text(encoding="utf-8"))))
        if sha256(kept.graph) != kept.about.sha256:
            kept.forget()
            return None
        with contextlib.suppress(OSError):  # a cache that can only be read serves as well
            os.utime(folder)
    except (OSError, ValueError, TypeError):
        return None
    return kept


def keep(key: str, graph: Path, probe: str, versions: str) -> bool:
    """Put a graph under `key`; whether it is there now. A folder that cannot be written, or that is
    not this user's alone, keeps nothing.
    """
    with contextlib.suppress(OSError):
        if distrust(root()):
            return False
        root().mkdir(parents=True, exist_ok=True, mode=0o700)
        aside = Path(tempfile.mkdtemp(prefix=".", dir=root()))
        try:
            shutil.copyfile(graph, aside / GRAPH)
            about = About(sha256(aside / GRAPH), probe, versions)
            (aside / ABOUT).write_text(json.dumps(asdict(about)), encoding="utf-8")
            os.rename(aside, root() / key)  # fails where another process was first
            _thin_out()
            return True
        finally:
            shutil.rmtree(aside, ignore_errors=True)
    return False


def _thin_out() -> None:
    """Remove the graphs used longest ago while all take more than `MOST_BYTES`."""
    folders = [f for f in root().iterdir() if f.is_dir() and not f.name.startswith(".")]
    folders.sort(key=lambda folder: folder.stat().st_mtime, reverse=True)
    size = 0
    for folder in folders:
        size += sum(path.stat().st_size for path in folder.iterdir())
        if size > MOST_BYTES:
            shutil.rmtree(folder, ignore_errors=True)


def sha256(path: Path) -> str:
    """The digest of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
