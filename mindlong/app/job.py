"""A job: one run of infer.py in a folder of its own. Whatever is known of it stands in that folder,
so that it survives the page, and the page finds it again.

    job.json       what was asked            waiting    it is in the queue, since when
    config.yaml    what infer.py is given    started    its process
    out.txt        what infer.py said        stopped    a person has stopped it
    progress.json  how far it is             runs/0001  what it makes
    .alive         locked as long as the process lives, also by a page that has gone
"""

from __future__ import annotations

import fcntl
import json
import math
import os
import re
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mindlong.app.folders import listed
from mindlong.utils import atomic, progress_file
from mindlong.utils.errors import ConfigError, UserError
from mindlong.utils.run_folder import RECORD

NUMBER = re.compile(r"\d{4,}")
WAITING, RUNNING, DONE, STOPPED, FAILED = "waiting", "running", "done", "stopped", "failed"
TAIL = 20_000  # bytes of what was said last


@dataclass(frozen=True)
class Job:
    """A job by its folder."""

    folder: Path

    @property
    def name(self) -> str:
        """Its number."""
        return self.folder.name

    @property
    def runs(self) -> Path:
        """Where infer.py writes."""
        return self.folder / "runs"

    @property
    def run(self) -> Path | None:
        """The folder of its run; None before it has one."""
        found = sorted(self.runs.glob("[0-9]*")) if self.runs.is_dir() else []
        return found[-1] if found else None

    def about(self) -> dict[str, Any]:
        """What was asked: title, pipeline, weights, arguments, work, time. A file that is damaged
        says nothing, or part of it.
        """
        return _read(self.folder / "job.json")

    def arguments(self) -> list[str]:
        """What infer.py is given. Raises UserError where job.json does not say."""
        found = self.about().get("arguments")
        if not isinstance(found, list) or not found or not all(isinstance(a, str) for a in found):
            raise UserError(
                f"the file job.json of job {self.name} is damaged: it does not say what infer.py is "
                "given; describe the video anew"
            )
        return found

    def state(self) -> str:
        """waiting, running, done, stopped or failed."""
        if self.is_alive():
            return RUNNING
        if (self.folder / "waiting").exists():
            return WAITING
        if self.run is not None and (self.run / RECORD).exists():
            return DONE
        return STOPPED if (self.folder / "stopped").exists() else FAILED

    def is_alive(self) -> bool:
        """Whether its process lives."""
        try:
            handle = os.open(self.folder / ".alive", os.O_RDWR)
        except OSError:
            return False
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return True
        finally:
            os.close(handle)
        return False

    def progress(self) -> dict[str, Any]:
        """What its process said last of how far it is (`mindlong.utils.progress_file`)."""
        return progress_file.read(self.folder / "progress.json")

    def said(self) -> str:
        """The end of what infer.py has printed."""
        try:
            with (self.folder / "out.txt").open("rb") as file:
                file.seek(max(0, os.fstat(file.fileno()).st_size - TAIL))
                return file.read().decode("utf-8", "replace")
        except OSError:
            return ""

    def sentence(self) -> str:
        """Why it failed, in the words of infer.py; '' where it did not say."""
        lines = [line.strip() for line in self.said().splitlines() if line.strip()]
        errors = [line for line in lines if line.startswith("error:")]
        return (errors or lines[-1:] or [""])[-1]

    def mark(self, name: str, **held: Any) -> None:
        """Write one of the small files that say what the job's state is."""
        atomic.write_text(self.folder / name, json.dumps({"time": time.time(), **held}))

    def unmark(self, *names: str) -> None:
        """Remove such files."""
        for name in names:
            (self.folder / name).unlink(missing_ok=True)

    def process(self) -> tuple[int, str] | None:
        """(pid, when it was born) of its process, which may have ended."""
        held = _read(self.folder / "started")
        pid = int(number(held.get("pid")))
        return (pid, str(held["born"])) if pid > 0 and "born" in held else None

    def since(self, name: str) -> float:
        """When such a file was written; 0: there is none."""
        return number(_read(self.folder / name).get("time"))


def jobs_of(folder: Path) -> list[Job]:
    """The jobs in a person's folder, the newest first."""
    found = [p for p in listed(folder) if NUMBER.fullmatch(p.name)]
    ready = [p for p in found if os.path.isfile(p / "job.json")]
    return [Job(p) for p in sorted(ready, key=lambda p: -int(p.name))]


def job_of(folder: Path, name: str) -> Job:
    """A person's job by its number. Raises ConfigError where there is none."""
    path = folder / name if isinstance(name, str) and NUMBER.fullmatch(name) else None
    if path is None or path.is_symlink() or not (path / "job.json").is_file():
        raise ConfigError("you have no such job")
    return Job(path)


def new_folder(folder: Path) -> Path:
    """A new numbered folder in a person's folder of jobs."""
    folder.mkdir(parents=True, exist_ok=True)
    number = max((int(p.name) for p in folder.iterdir() if NUMBER.fullmatch(p.name)), default=0)
    while True:
        number += 1
        try:
            (folder / f"{number:04d}").mkdir()
        except FileExistsError:
            continue
        return folder / f"{number:04d}"


def number(value: object) -> float:
    """A number of a file that may be damaged; 0 where it is none."""
    try:
        found = float(value) if isinstance(value, int | float) else 0.0
    except OverflowError:  # JSON knows whole numbers of any length
        return 0.0
    return found if math.isfinite(found) else 0.0


def _read(path: Path) -> dict[str, Any]:
    try:
        held = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return held if isinstance(held, dict) else {}
