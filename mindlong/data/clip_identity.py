"""What a folder of clips is by its content, wherever it lies: a training that goes on must find the
same clips.

Of every file its name, its size, and its first and last bytes count, not what lies between: films
are large, and one that was changed or cut has other ends. Captions and embeddings count whole.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from mindlong.data.captions import sidecar
from mindlong.data.found import find_clips
from mindlong.data.nodes import read_index

END = 1 << 16  # bytes at each end of a file
UNREADABLE = b"unreadable"


def clips_identity(folder: str | Path) -> dict[str, Any]:
    """bytes, clips (how many) and sha256 of a folder of clips.

    Raises:
        InputFileError: no such folder, it may not be read, or there is no clip in it.
    """
    return dict(_clips(Path(os.path.abspath(folder))))


def index_identity(path: str | Path) -> dict[str, Any]:
    """The same of the films that an index of a hierarchy's runs names, and of what it says of them.

    Raises:
        InputFileError: no index.
    """
    path = Path(path)
    lengths, films = read_index(path)
    said = json.dumps([lengths, [{**film, "video": ""} for film in films]], sort_keys=True)
    found = [path.parent / film["video"] for film in films]
    return _together([("index", said.encode())], ((p.name, p) for p in found))


@functools.lru_cache(maxsize=4)
def _clips(root: Path) -> tuple[tuple[str, Any], ...]:
    """Once in a process: a run and its latents ask for the same."""
    texts, files = [], []
    for path in find_clips(root):
        name = path.relative_to(root).as_posix()
        for side in (sidecar(path, ".txt"), sidecar(path, ".npy")):
            if side.is_file():
                texts.append((f"{name}{side.suffix}", _content(side)))
        files.append((name, path))
    return tuple(_together(texts, files).items())


def _together(
    texts: Iterable[tuple[str, bytes]], files: Iterable[tuple[str, Path]]
) -> dict[str, Any]:
    digest, total, count = hashlib.sha256(), 0, 0
    for name, text in texts:
        digest.update(os.fsencode(name) + b"\0" + hashlib.sha256(text).digest())
    for name, path in files:
        count += 1
        parts = sorted(path.iterdir()) if path.is_dir() else [path]
        for part in parts:
            if part.is_file() and not part.name.startswith("."):
                size, ends = _ends(part)
                total += size
                inner = part.name if part != path else ""
                digest.update(os.fsencode(f"{name}\0{inner}\0{size}\0") + ends)
    return {"bytes": total, "clips": count, "sha256": digest.hexdigest()}


def _content(path: Path) -> bytes:
    """What a small file holds; whether it may be read is found and said elsewhere."""
    try:
        return path.read_bytes()
    except OSError:
        return UNREADABLE


def _ends(path: Path) -> tuple[int, bytes]:
    try:
        with path.open("rb", buffering=0) as file:
            size = os.fstat(file.fileno()).st_size
            found = hashlib.sha256(file.read(END))
            if size > END:
                file.seek(max(size - END, END))
                found.update(file.read(END))
    except OSError:
        return 0, UNREADABLE
    return size, found.digest()
