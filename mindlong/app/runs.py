"""Runs that are done or under way, to look at: their files, what they were made with, how they go.

A run is shown by copies that the browser fetches; nothing else of its folder is ever served.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mindlong.app.folders import changed, files_in, listed, newest_first
from mindlong.app.job import DONE, Job, number
from mindlong.pipelines.previews import FOLDER as PREVIEWS
from mindlong.utils import system
from mindlong.utils.errors import ConfigError
from mindlong.utils.run_folder import CONFIG, LEVELS, RECORD

if TYPE_CHECKING:
    from mindlong.app.place import Person, Place

PLAYED = (".mp4", ".webm")
MOST = 300  # runs in the list
LISTED_VIDEOS = 24


@dataclass(frozen=True)
class Run:
    """A run's folder, and where it is listed.

    Attributes:
        name: in the list: "job 0003", "outputs/0001".
        state: as of a job.
    """

    name: str
    folder: Path
    state: str
    title: str
    pipeline: str
    made: float

    def row(self) -> list[str]:
        """For a table: name, state, pipeline, title, when."""
        when = time.strftime("%Y-%m-%d %H:%M", time.localtime(self.made))
        return [self.name, self.state, self.pipeline, self.title, when]

    def videos(self) -> list[Path]:
        """What can be played."""
        levels = files_in(self.folder / LEVELS, PLAYED)
        return [*files_in(self.folder, PLAYED), *levels][:LISTED_VIDEOS]

    def sheets(self) -> list[Path]:
        """Its contact sheets."""
        return files_in(self.folder, (".png",))[:LISTED_VIDEOS]

    def previews(self) -> list[Path]:
        """What was seen while it was denoised, the newest first."""
        return newest_first(files_in(self.folder / PREVIEWS, (".png",)))

    def config(self) -> str:
        """What it was made with, as YAML."""
        try:
            return (self.folder / CONFIG).read_text(encoding="utf-8")
        except (OSError, ValueError):
            return ""

    def recipe_file(self) -> Path:
        """A file of it that keeps its recipe. Raises ConfigError where there is none."""
        for path in (*self.videos(), *self.sheets(), *files_in(self.folder, (".gif",))):
            if path.parent == self.folder:
                return path
        raise ConfigError(f"{self.name} has left no file yet that keeps its recipe")


def runs_of(place: Place, person: Person, jobs: list[Job]) -> list[Run]:
    """A person's own runs, and those of the folders that the page was to show."""
    own = [made for job in jobs[:MOST] if (made := of_job(job)) is not None]
    shared = [made for folder in place.outputs for made in _of_folder(folder)]
    return (own + shared)[:MOST]


def of_job(job: Job) -> Run | None:
    """The run of a job; None where it has made no folder yet."""
    folder, about = job.run, job.about()
    if folder is None:
        return None
    return Run(
        f"job {job.name}",
        folder,
        job.state(),
        str(about.get("title", "")),
        str(about.get("pipeline", "")),
        number(about.get("time")),
    )


def shown(path: Path, place: Place, person: Person) -> str:
    """A copy of a file where the browser may fetch it: made once, and only for this person."""
    found = path.stat()
    mark = f"{found.st_ino:x}-{found.st_mtime_ns:x}-{found.st_size:x}"
    target = place.served / person.owner / mark / path.name
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        aside = target.with_name(f".{os.getpid()}.{path.name}")
        shutil.copyfile(path, aside)
        os.replace(aside, target)
    os.utime(target)  # it is asked for: see `forget_copies`
    return str(target)


def all_shown(paths: Iterable[Path], place: Place, person: Person) -> list[str]:
    """Copies of files as `shown` makes them; a file that has gone meanwhile, or may not be read, is
    not among them. Raises SystemFault where copies cannot be written.
    """
    copies = []
    for path in paths:
        try:
            with system.explained(path):
                copies.append(shown(path, place, person))
        except system.SystemFault:
            if os.access(path, os.R_OK):  # then it is the copy that cannot be written
                raise
    return copies


def forget_copies(place: Place, older: float = 24 * 3600.0) -> None:
    """Remove copies, and what was uploaded to be checked, that nobody has asked for in a while."""
    before = time.time() - older
    for path in place.served.rglob("*"):
        if path.is_file() and path.stat().st_mtime < before:
            path.unlink(missing_ok=True)


def _of_folder(parent: Path) -> list[Run]:
    folders = [p for p in listed(parent) if p.name.isdecimal() and os.path.isdir(p)]
    return [_of_command(parent, p) for p in sorted(folders, key=lambda p: -int(p.name))]


def _of_command(parent: Path, folder: Path) -> Run:
    record = _record(folder / RECORD)
    prompts = record.get("prompts")
    given = prompts if isinstance(prompts, list) else []
    said = [str(p.get("prompt", "") if isinstance(p, dict) else p) for p in given if p]
    state = DONE if record else "unfinished"
    return Run(
        f"{parent.name}/{folder.name}",
        folder,
        state,
        " | ".join(dict.fromkeys(said))[:100] or "no prompt",
        _pipeline(folder / CONFIG),
        changed(folder) / 1e9,
    )


def _pipeline(path: Path) -> str:
    """The first key of a run's configuration."""
    try:
        with path.open(encoding="utf-8") as file:
            name, _, value = file.readline().partition(":")
    except (OSError, ValueError):
        return ""
    return value.strip() if name == "pipeline" else ""


def _record(path: Path) -> dict[str, Any]:
    try:
        held = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return held if isinstance(held, dict) else {}
