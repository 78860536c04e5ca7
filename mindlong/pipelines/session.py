"""One run of infer.py: its folder, its log, its record. A run that was stopped goes on in the
folder it left.
"""

from __future__ import annotations

import fcntl
import json
import logging
import platform
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, Any

import numpy as np

from mindlong import __version__
from mindlong.config.load import Loaded
from mindlong.parallel.comm import Comm, SerialComm, all_ok
from mindlong.utils import atomic, log

RECORD = "video.json"  # written last: a folder without it is unfinished


@dataclass(frozen=True)
class Session:
    """A run under way.

    Attributes:
        loaded: the configuration; `config` is its values.
        folder: where everything is written.
        log: to the screen and to log.txt.
        resumed: the folder holds what an earlier run of the same configuration has made.
        comm: the processes that work on the run.
    """

    loaded: Loaded
    folder: Path
    log: logging.Logger
    resumed: bool
    lock: IO[bytes] | None
    comm: Comm = field(default_factory=SerialComm)

    @property
    def config(self) -> Any:
        """The typed configuration."""
        return self.loaded.values

    def write_record(self, facts: Mapping[str, Any]) -> None:
        """Write video.json: `facts`, the configuration and the versions. The run is finished with
        it.
        """
        versions = {
            "mindlong": __version__,
            "numpy": np.__version__,
            "python": platform.python_version(),
        }
        record = {
            **facts,
            "config": self.loaded.text,
            "versions": versions | facts.get("versions", {}),
        }
        atomic.write_text(self.folder / RECORD, json.dumps(record, indent=1))


def open_session(loaded: Loaded, resume: bool) -> Session:
    """A new numbered folder in `output`, or, with `resume`, the newest unfinished one of the same
    configuration.
    """
    parent = Path(loaded.values.output)
    parent.mkdir(parents=True, exist_ok=True)
    found = _unfinished(parent, loaded.text) if resume else None
    folder, lock = found or _locked(new_folder(parent))
    logger = log.setup(file=folder / "log.txt")
    atomic.write_text(folder / "config.yaml", loaded.text)
    return Session(loaded, folder, logger, found is not None, lock)


def shared_session(loaded: Loaded, resume: bool, comm: Comm) -> Session:
    """The same for all processes of `comm`: the first opens the folder, the others are told
    which.
    """
    first, error = None, None
    if comm.rank == 0:
        try:
            first = open_session(loaded, resume)
        except Exception as fault:  # told to the others, which would wait for ever
            error = fault
    all_ok(comm, error, "opening the folder of the run")
    told = comm.all_gather_text(
        json.dumps([str(first.folder.resolve()), first.resumed]) if first else ""
    )[0]
    if first:
        return replace(first, comm=comm)
    folder, resumed = json.loads(told)
    return Session(loaded, Path(folder), log.setup(comm.rank), resumed, None, comm)


def new_folder(parent: Path) -> Path:
    """A folder that did not exist: parent/0001, parent/0002, ..."""
    parent.mkdir(parents=True, exist_ok=True)
    number = max((int(p.name) for p in _numbered(parent)), default=0) + 1
    while True:
        folder = parent / f"{number:04d}"
        try:
            folder.mkdir()
            return folder
        except FileExistsError:
            number += 1


def _numbered(parent: Path) -> list[Path]:
    return [p for p in parent.iterdir() if re.fullmatch(r"\d{4,}", p.name)]


def _unfinished(parent: Path, text: str) -> tuple[Path, IO[bytes]] | None:
    """The newest folder with this configuration and no record, unless another process is at work in
    it.
    """
    for folder in sorted(_numbered(parent), key=lambda p: -int(p.name)):
        saved = folder / "config.yaml"
        if (
            saved.is_file()
            and saved.read_text(encoding="utf-8") == text
            and not (folder / RECORD).exists()
        ):
            try:
                return _locked(folder)
            except BlockingIOError:
                continue
    return None


def _locked(folder: Path) -> tuple[Path, IO[bytes]]:
    """The folder with a lock on it that this process holds until it ends."""
    file = (folder / ".lock").open("wb")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        raise
    return folder, file
