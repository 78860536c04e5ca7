"""What weights are by their content, wherever they lie: for a run that must not go on with others.

    identity("runs/mine") -> {"bytes": 123, "modified": 1700000000.0, "sha256": "..."}

Equal content has an equal `sha256`, under any path and date. Digests are kept in the user's cache
folder by path, size and times, so that a large file is read again only after it changed.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mindlong.checkpoints import digests, folders, shards
from mindlong.checkpoints.locate import locate
from mindlong.utils import atomic
from mindlong.utils.trust import distrust
from mindlong.utils.user_cache import cache_folder

FOLDER = "digests"  # in the user's cache folder
RULING = ("config.yaml", "config.json")  # beside weights, they say what these are
RACY = 2.0  # seconds after a change in which a digest is not kept on the disk


def identity(weights: str | Path) -> dict[str, Any]:
    """The content of whatever `weights=` can name: a file, an index of shards, a checkpoint, a run
    (its newest checkpoint), a pipeline's folder, or `shipped:NAME`.

    Returns:
        `bytes` of all files that count, `modified`, the newest of their times in seconds since
        1970, and `sha256`: of the file where there is one alone, else of the list of their names
        and digests. Files that count are the weights (of a checkpoint the averaged ones, where it
        has them) and the model files, configurations, tokenizer and scheduler beside them.

    Raises:
        InputFileError: nothing there, or not readable.
    """
    found = dict(files_of(locate(str(weights))))
    stamps = [digests.stamp(path) for path in found.values()]
    hashes = {name: _digest(path) for name, path in found.items()}
    return {
        "bytes": sum(stamp.bytes for stamp in stamps),
        "modified": max((stamp.modified for stamp in stamps), default=0) / 1e9,
        "sha256": _together(hashes),
    }


def is_same(saved: Mapping[str, Any], now: Mapping[str, Any]) -> bool:
    """Whether two identities are of one content."""
    return saved.get("sha256") == now.get("sha256")


def files_of(path: Path) -> list[tuple[str, Path]]:
    """(name, file) of all that makes the weights at `path`, sorted; names do not depend on where
    they lie.
    """
    if path.is_file():
        return sorted(_of_file(path))
    parts = dict(folders.parts_in(path))
    if not parts:
        return sorted(_of_file(folders.one_network(path)))
    found = [
        (f"{part}/{name}", file) for part, where in parts.items() for name, file in files_of(where)
    ]
    ruling = [(name, path / name) for name in RULING if (path / name).is_file()]
    return sorted([*found, *ruling, *folders.beside(path).items()])


def _of_file(path: Path) -> Iterator[tuple[str, Path]]:
    if path.is_dir():  # the newest checkpoint of a run
        yield from files_of(path)
        return
    yield "weights", path
    if path.name.endswith(shards.SUFFIX):
        yield from ((name, path.with_name(name)) for name in set(shards.read_index(path).values()))
    own = path.with_suffix(".yaml")
    named = {"model": own, **{name: path.with_name(name) for name in RULING}}
    yield from ((name, file) for name, file in named.items() if file.is_file())


def _together(hashes: Mapping[str, str]) -> str:
    if len(hashes) == 1:
        return next(iter(hashes.values()))
    lines = "".join(f"{name}\0{digest}\n" for name, digest in sorted(hashes.items()))
    return hashlib.sha256(lines.encode("utf-8", "surrogateescape")).hexdigest()


def _digest(path: Path) -> str:
    """The SHA-256 of a file, from the cache where its size and times are as they were."""
    stamp = digests.stamp(path)
    if not digests.is_settled(stamp, RACY):
        return digests.file_sha256(path)
    place = _place(path)
    kept = _kept(place, stamp)
    if kept is None:
        kept = digests.file_sha256(path)
        if digests.stamp(path) == stamp:
            _keep(place, stamp, kept)
    return kept


def _place(path: Path) -> Path:
    name = hashlib.sha256(os.fsencode(os.path.abspath(path))).hexdigest()[:32]
    return cache_folder() / FOLDER / f"{name}.json"


def _kept(place: Path, stamp: digests.Stamp) -> str | None:
    """What the cache says of a file; nothing where others could have written it."""
    if not place.is_file() or distrust(place):
        return None
    try:
        content = json.loads(place.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    if not isinstance(content, dict) or content.get("stamp") != list(stamp):
        return None
    found = content.get("sha256")
    return found if isinstance(found, str) and re.fullmatch("[0-9a-f]{64}", found) else None


def _keep(place: Path, stamp: digests.Stamp, digest: str) -> None:
    """A cache that cannot be written costs time, nothing else."""
    try:
        place.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not distrust(place):
            text = json.dumps({"stamp": list(stamp), "sha256": digest})
            atomic.write_text(place, text)
            place.chmod(0o600)
    except OSError:
        return
