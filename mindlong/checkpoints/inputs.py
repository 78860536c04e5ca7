"""Files that a run starts from, known by their content: what is compared when it goes on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mindlong.checkpoints.digests import file_sha256
from mindlong.checkpoints.identity import identity
from mindlong.checkpoints.locate import locate
from mindlong.utils.errors import InputFileError
from mindlong.utils.placed import placed
from mindlong.utils.remember import remembered

Known = dict[str, dict[str, Any]]  # key, or key[number] -> path, bytes, modified, sha256
LATER = ("latents.motion", "model.text.", "pixel.")  # in keys that runs before 0.2 have not


@remembered
def weights(path: str, key: str) -> dict[str, Any]:
    """What whatever `weights=` can name is; of a model that a program has loaded, what it was then.
    Raises InputFileError, which names the key.
    """
    locate(path, key)
    return {"path": path, **identity(path)}


def files(path: str | Path, key: str) -> dict[str, Any]:
    """path, bytes, modified (seconds since 1970) and sha256 of a file, or of the files right in a
    folder by their names.

    Raises:
        InputFileError: there is none, or it cannot be read.
    """
    place = placed(path)
    if not place.exists():
        raise InputFileError(f"{key}: no file at {path}; it does not exist")
    if place.is_file():
        size, modified, sha256 = *_stat(place), file_sha256(place)
    else:
        found = sorted(p for p in place.iterdir() if p.is_file() and not p.name.startswith("."))
        lines = "".join(f"{p.name}\0{file_sha256(p)}\n" for p in found)
        stats = [_stat(p) for p in found]
        size, modified = sum(s for s, _ in stats), max((t for _, t in stats), default=0.0)
        sha256 = hashlib.sha256(lines.encode("utf-8", "surrogateescape")).hexdigest()
    return {"path": str(path), "bytes": size, "modified": modified, "sha256": sha256}


def changed(saved: Known, now: Known) -> list[str]:
    """The keys whose content is not what it was; keys that only one side has count too, but for
    those that runs of older versions did not remember.
    """
    later = [key for key in now if any(word in key for word in LATER)]
    keys = [*saved, *(key for key in now if key not in saved and key not in later)]
    return [key for key in keys if _sha(saved, key) != _sha(now, key)]


def moved(saved: Known, now: Known) -> list[str]:
    """The keys whose content is the same, at another place."""
    both = [key for key in now if key in saved and _sha(saved, key) == _sha(now, key)]
    return [key for key in both if saved[key].get("path") != now[key].get("path")]


def change(key: str, saved: Known, now: Known) -> str:
    """A changed key in words: "the content of KEY (PATH, ...)"."""
    before, after = saved.get(key), now.get(key)
    if before is None or after is None:
        return f"{key} ({'not there before' if before is None else 'no longer there'})"
    sizes = [_sizes(held) for held in (before, after)]
    said = f", {sizes[0]} then and {sizes[1]} now" if sizes[0] != sizes[1] else ""
    return f"the content of {key} ({after.get('path')}{said})"


def contents(inputs: Known) -> dict[str, str]:
    """key -> sha256: what results depend on, wherever the files lie."""
    return {f"content of {key}": held["sha256"] for key, held in inputs.items()}


def digest(tree: Mapping[str, Any]) -> str:
    """The SHA-256 of a tree of plain values."""
    text = json.dumps(tree, sort_keys=True, default=str)
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


def _sizes(held: Mapping[str, Any]) -> str:
    clips = f"{held['clips']} clips, " if "clips" in held else ""
    return f"{clips}{held.get('bytes')} bytes"


def _stat(path: Path) -> tuple[int, float]:
    found = path.stat()
    return found.st_size, found.st_mtime


def _sha(held: Known, key: str) -> str | None:
    return held.get(key, {}).get("sha256")
