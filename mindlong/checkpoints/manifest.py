"""The manifest of a checkpoint folder: what must lie in it, with sizes and SHA-256. No manifest, no
checkpoint.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import re
from pathlib import Path

from mindlong import __version__
from mindlong.checkpoints.digests import file_sha256
from mindlong.checkpoints.faults import CorruptCheckpoint
from mindlong.utils.errors import ConfigError, InputFileError

NAME = "manifest.json"
FORMAT = 1
FILES = ("network", "ema", "optimizer", "tuned")  # what checkpoints consist of


def read(folder: str | Path) -> dict:
    """The manifest of a checkpoint folder: step, versions, and of each file its bytes, sha256 and
    number of arrays.

    Raises:
        InputFileError: there is none, or it is damaged.
    """
    path = Path(folder) / NAME
    if not path.is_file():
        raise InputFileError(f"{folder} is not a finished checkpoint: it has no {NAME}")
    try:
        manifest = json.loads(path.read_bytes())
        sound = manifest.pop("checksum") == _checksum(manifest) and manifest["format"] == FORMAT
        sound = sound and all(_row_is_sound(name, row) for name, row in manifest["files"].items())
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        sound = False
    if not sound:
        raise CorruptCheckpoint(f"{path} is damaged or of another version of the format")
    return manifest


def is_ours(folder: Path) -> bool:
    """Whether the manifest.json in a folder is that of a checkpoint; other programs have one too.
    What cannot be read counts as ours where the folder looks like a checkpoint.
    """
    path = folder / NAME
    if not path.is_file():
        return False
    try:
        content = json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        return _looks_like(folder)
    return isinstance(content, dict) and (
        {"files", "checksum"} <= set(content) or _looks_like(folder)
    )


def verify(path: Path) -> str:
    """Compare a file of a checkpoint with the manifest beside it, once in a process; returns a
    remark where that cannot be done, "" for every other file.

    Raises:
        CorruptCheckpoint: the file or the manifest was changed or damaged.
    """
    folder = path.parent
    if not is_ours(folder):
        return (
            f"there is no {NAME} beside {path.name}: whether it was changed cannot be checked"
            if _looks_like(folder) and path.stem in FILES
            else ""
        )
    rows = read(folder)["files"]
    if path.name not in rows:
        return (
            f"{path.name} is not in the {NAME} beside it: whether it was changed cannot be checked"
        )
    check_file(folder, path.name, rows, verify=True)
    return ""


def _looks_like(folder: Path) -> bool:
    """Whether a folder has the name or the state of a checkpoint."""
    named = re.fullmatch(r"step-\d{8,}", folder.name) is not None
    return named or (
        (folder / "state.json").is_file() and (folder / "network.safetensors").is_file()
    )


def compose(step: int, rows: dict[str, dict], state: dict) -> bytes:
    """The manifest's bytes. `rows`: file name -> bytes, sha256, arrays."""
    about = {key: state[key] for key in ("seed", "world_size") if key in state}
    manifest = {"format": FORMAT, "step": step, **about, "versions": versions(), "files": rows}
    return as_json({**manifest, "checksum": _checksum(manifest)})


def check_file(folder: Path, name: str, files: dict, verify: bool) -> None:
    """Compare a file with its row: the size always, the SHA-256 where `verify`.

    Raises:
        InputFileError: it is missing, of another size, or changed; the sentence names it.
    """
    path = folder / name
    if name not in files or not path.is_file():
        raise InputFileError(f"{path} is missing from its checkpoint")
    row, size = files[name], path.stat().st_size
    if size != row["bytes"]:
        raise CorruptCheckpoint(f"{path} has {size} bytes, the manifest says {row['bytes']}")
    if verify and file_sha256(path) != row["sha256"]:
        raise CorruptCheckpoint(
            f"{path} was changed after it was written (its SHA-256 differs); to go on from the "
            "checkpoint before it, remove this folder"
        )


def as_json(value: dict) -> bytes:
    """`value` as JSON. Raises ConfigError where it holds something that is not a number, string,
    list or table.
    """
    try:
        return (json.dumps(value, indent=1) + "\n").encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise ConfigError(
            f"a checkpoint's state may hold only numbers, strings, lists and tables ({error})"
        ) from error


def versions() -> dict[str, str]:
    """The versions that write the checkpoint."""
    try:
        mindspore = importlib.metadata.version("mindspore")
    except importlib.metadata.PackageNotFoundError:
        mindspore = "none"
    return {"mindlong": __version__, "mindspore": mindspore}


def _row_is_sound(name: str, row: dict) -> bool:
    return (
        bool(re.fullmatch(r"\w[\w.-]*", name))
        and isinstance(row["bytes"], int)
        and isinstance(row["sha256"], str)
    )


def _checksum(manifest: dict) -> str:
    return hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()
