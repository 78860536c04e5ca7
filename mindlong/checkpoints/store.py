"""Checkpoints of a run: folders that are either whole or do not exist.

    RUN/checkpoints/step-00001000/{network,ema,optimizer}.safetensors  state.json  manifest.json

A checkpoint is written into `step-N.tmp`, every file synced, the manifest last, and the folder
renamed once. Whatever kills the process leaves either the whole new checkpoint or the ones before
it.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np

from mindlong.checkpoints import manifest, safetensors_file
from mindlong.checkpoints.finite import check_arrays
from mindlong.checkpoints.lazy import total_bytes
from mindlong.checkpoints.saved_steps import ASIDE, FOLDER, whole
from mindlong.utils.atomic import sync_folder
from mindlong.utils.errors import ConfigError, InputFileError, UserError
from mindlong.utils.log import get_logger

STATE, SUFFIX = "state.json", ".safetensors"
PIECE = 1 << 24  # bytes handed to the disk at once
_LEFT = re.compile(r"step-\d{8,}(\.old)?\.tmp")  # what `_write`, `_publish` and `_purge` leave

Arrays = Mapping[str, np.ndarray]
Rows = dict[str, dict]  # of a manifest, by file


class Checkpoint(NamedTuple):
    """What a folder holds: file name (without suffix) -> array name -> array, and the state."""

    files: dict[str, dict[str, np.ndarray]]
    state: dict


def write_hook(event: str) -> None:
    """Called before every write, sync, rename and removal of a save. Tests put a failure or a kill
    in its place.
    """


def save(
    run_dir: str | Path,
    step: int,
    files: Mapping[str, Arrays],
    state: dict,
    keep: int = 3,
    about: Mapping[str, Mapping[str, str]] | None = None,
    parts: Rows | None = None,
) -> Path:
    """Write the checkpoint of `step` and drop all but the newest `keep`; returns its folder.

    Args:
        files: file name (without suffix) -> array name -> array.
        state: numbers, strings, lists and tables, nothing else.
        keep: at least 2, because the newest may turn out damaged.
        about: file name -> texts to stand beside its arrays.
        parts: what `write_part` gave on all processes, after `open_shared`; None: nothing is there.

    Raises:
        UserError: the disk is full or cannot be written; the checkpoints before this one are
            untouched.
        ConfigError: `keep` below 2, or a state that JSON cannot hold.
    """
    if keep < 2:
        raise ConfigError(
            f"keep is {keep}; it must be at least 2, because the newest checkpoint may turn out damaged"
        )
    target, aside = _target(run_dir, step)
    text = manifest.as_json(state)
    try:
        if parts is None:
            _make_aside(aside)
        _write(aside, step, files, state, text, about or {}, dict(parts or {}))
        _publish(aside, target)
    except OSError as error:
        shutil.rmtree(aside, ignore_errors=True)
        raise UserError(_why(error, target, files)) from error
    _purge(target.parent, keep)
    return target


def open_shared(run_dir: str | Path, step: int) -> None:
    """Begin a save to which several processes write: one calls this, then all `write_part`, then
    one `save`. Raises UserError.
    """
    target, aside = _target(run_dir, step)
    try:
        _make_aside(aside)
    except OSError as error:
        raise UserError(_why(error, target, {})) from error


def write_part(run_dir: str | Path, step: int, files: Mapping[str, Arrays]) -> Rows:
    """Write some files of a checkpoint whose saving was begun; returns their rows of the manifest.
    Names are of one process. Raises UserError.
    """
    target, aside = _target(run_dir, step)
    try:
        return _write_files(aside, files, {})
    except OSError as error:
        raise UserError(_why(error, target, files)) from error


def load(folder: str | Path, only: Iterable[str] | None = None, verify: bool = True) -> Checkpoint:
    """Read a checkpoint folder.

    Args:
        only: the files wanted, without suffix; None: all.
        verify: compare the SHA-256 of every file read with the manifest (sizes are always
            compared).

    Raises:
        InputFileError: no such checkpoint, a file in it is missing, cut short or changed, or holds
            NaN or infinity; the sentence names it.
    """
    folder = Path(folder)
    rows = manifest.read(folder)["files"]
    wanted = _wanted(folder, [name for name in rows if name.endswith(SUFFIX)], only)
    for name in (STATE, *wanted):
        manifest.check_file(folder, name, rows, verify)
    files = {name.removesuffix(SUFFIX): safetensors_file.read_all(folder / name) for name in wanted}
    for name, arrays in files.items():
        check_arrays(arrays, str(folder / (name + SUFFIX)))
    return Checkpoint(files, json.loads((folder / STATE).read_text(encoding="utf-8")))


def _wanted(folder: Path, held: list[str], only: Iterable[str] | None) -> list[str]:
    wanted = held if only is None else [name + SUFFIX for name in only]
    for name in wanted:
        if name not in held:
            raise InputFileError(f"{folder} holds no {name}; it has {', '.join(held)}")
    return wanted


class _Sink:
    """Writes to a file in pieces, telling the hook, and hashes what it writes."""

    def __init__(self, file: BinaryIO, name: str) -> None:
        self.file, self.name, self.bytes, self.digest = file, name, 0, hashlib.sha256()

    def __call__(self, data: bytes | memoryview) -> None:
        view = memoryview(data)
        while len(view):
            write_hook(f"write {self.name}")
            count = self.file.write(view[:PIECE])
            self.digest.update(view[:count])
            self.bytes += count
            view = view[count:]

    def row(self, arrays: int = 0) -> dict[str, dict]:
        """The file's line in the manifest."""
        return {
            self.name: {"bytes": self.bytes, "sha256": self.digest.hexdigest(), "arrays": arrays}
        }


@contextlib.contextmanager
def _synced(path: Path) -> Iterator[_Sink]:
    with path.open("wb", buffering=0) as file:
        yield _Sink(file, path.name)
        write_hook(f"sync {path.name}")
        os.fsync(file.fileno())


def _target(run_dir: str | Path, step: int) -> tuple[Path, Path]:
    """The folder of a checkpoint, and the one in which it is written."""
    target = Path(run_dir) / FOLDER / f"step-{step:08d}"
    return target, target.with_name(target.name + ASIDE)


def _make_aside(aside: Path) -> None:
    write_hook("make folder")
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir(parents=True)


def _write_files(
    aside: Path, files: Mapping[str, Arrays], about: Mapping[str, Mapping[str, str]]
) -> Rows:
    rows: Rows = {}
    for name, arrays in files.items():
        with _synced(aside / (name + SUFFIX)) as sink:
            safetensors_file.write(sink, arrays, {"format": "pt", **about.get(name, {})})
        rows |= sink.row(len(arrays))
    return rows


def _write(
    aside: Path,
    step: int,
    files: Mapping[str, Arrays],
    state: dict,
    text: bytes,
    about: Mapping[str, Mapping[str, str]],
    parts: Rows,
) -> None:
    rows: Rows = {**_write_files(aside, files, about), **parts}
    with _synced(aside / STATE) as sink:
        sink(text)
    rows |= sink.row()
    with _synced(aside / manifest.NAME) as sink:
        sink(manifest.compose(step, rows, state))
    write_hook("sync folder")
    sync_folder(aside)


def _publish(aside: Path, target: Path) -> None:
    if target.exists():  # an earlier save of this step, damaged or written again
        old = target.with_name(f"{target.name}.old{ASIDE}")
        shutil.rmtree(old, ignore_errors=True)
        write_hook("rename old")
        os.rename(target, old)
    write_hook("rename")
    os.rename(aside, target)
    write_hook("sync parent")
    sync_folder(target.parent)


def _purge(folder: Path, keep: int) -> None:
    """Remove old checkpoints and leftovers. A failure here costs space, not the checkpoint just
    written, nor the next removal.
    """
    old = [] if keep < 1 else whole(folder)[:-keep]
    left = [path for path in folder.glob(f"step-*{ASIDE}") if _LEFT.fullmatch(path.name)]
    for path in [*old, *left]:
        try:
            _remove(path)
        except OSError as error:
            get_logger().warning("an old checkpoint could not be removed: %s", error)


def _remove(path: Path) -> None:
    """Remove a checkpoint or a leftover, if nothing but a save has written to it."""
    foreign = [p.name for p in path.iterdir() if not _is_ours(p)]
    if foreign:
        get_logger().warning("%s is kept: it holds %s, which no save wrote", path, foreign[0])
        return
    if not _LEFT.fullmatch(path.name):
        aside = path.with_name(f"{path.name}.old{ASIDE}")
        if aside.exists():
            _remove(aside)
        write_hook(f"drop {path.name}")
        os.rename(path, aside)
        path = aside
    write_hook(f"remove {path.name}")
    shutil.rmtree(path)


def _is_ours(path: Path) -> bool:
    """Whether a save writes files of that name."""
    named = path.name in (STATE, manifest.NAME) or path.suffix == SUFFIX
    return named and (path.is_file() or path.is_symlink())


def _why(error: OSError, target: Path, files: Mapping[str, Arrays]) -> str:
    kept = "the checkpoints before it are untouched"
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        needed = sum(total_bytes(arrays.values()) for arrays in files.values())
        free = shutil.disk_usage(next(p for p in target.parents if p.exists())).free
        return (
            f"the disk is full: {target} needs {needed / 2**20:.1f} MiB, {free / 2**20:.1f} MiB are free; {kept}. "
            "Free some space and run the same command again"
        )
    return f"{target} could not be written ({error.strerror or error}); {kept}"
