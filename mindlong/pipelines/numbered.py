"""The numbered folders in `output`: 0001, 0002, ... A run takes the unfinished one that is its own,
else one that a run left without having made anything, else a new one.

`run.json` in a folder says what its run depends on: the configuration without the places of files,
and these by their content. A folder with a record is finished.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mindlong import __version__
from mindlong.checkpoints.inputs import Known, change, changed, digest, moved
from mindlong.pipelines.inputs import without_places
from mindlong.utils import atomic, run_folder, system
from mindlong.utils.claim import FILE as LOCK
from mindlong.utils.claim import Claim, Claimed
from mindlong.utils.errors import ConfigError
from mindlong.utils.run_folder import CONFIG, RECORD

ABOUT = "run.json"
_NUMBER = re.compile(r"\d{4,}")


@dataclass
class Place:
    """A numbered folder that this process has claimed.

    Attributes:
        resumed: it holds what an earlier run has made.
        made: the folders that were made for it, the lowest first.
        note: a sentence for the log, or ''.
    """

    folder: Path
    claim: Claim
    resumed: bool = False
    made: list[Path] = field(default_factory=list)
    note: str = ""

    def write(self, text: str, inputs: Known) -> None:
        """Note what the run depends on."""
        about = {"configuration": _configuration(text), "inputs": inputs, "mindlong": __version__}
        atomic.write_text(self.folder / ABOUT, json.dumps(about, indent=1))

    def remove(self) -> None:
        """Remove what says nothing of a run that made nothing, and the folders made for it."""
        with self.claim:
            run_folder.unwrap(self.folder)
            run_folder.remove_empty(self.made)


def take(parent: Path, text: str, inputs: Known, resume: bool) -> Place:
    """Claim the folder of a run in `parent`.

    Args:
        text: the resolved configuration.
        inputs: the files it starts from.
        resume: an unfinished run of the same may be gone on with.

    Raises:
        ConfigError: the run's own unfinished folder was begun with files that have changed since.
    """
    made = run_folder.make(parent, "output")
    with system.explained(parent, "output"):
        mine = _unfinished(parent, text, inputs) if resume else None
        return mine or _empty(parent, made) or _new(parent, made)


def _unfinished(parent: Path, text: str, inputs: Known) -> Place | None:
    """The newest unfinished folder of the same run, unless another process is at work in it."""
    refused = None
    for folder in _folders(parent):
        about = _read(folder / ABOUT)
        if (folder / RECORD).exists() or about.get("configuration") != _configuration(text):
            continue
        differing = changed(about.get("inputs", {}), inputs)
        same_places = _text(folder / CONFIG) == text
        if differing and (not same_places or run_folder.made_nothing(folder)):
            continue
        claim = _claimed(folder)
        if claim is None:
            continue
        if not differing:
            return _resumed(folder, claim, about["inputs"], inputs)
        claim.release()
        refused = refused or _refusal(folder, about["inputs"], inputs, differing)
    if refused:
        raise ConfigError(refused)
    return None


def _resumed(folder: Path, claim: Claim, before: Known, now: Known) -> Place:
    atomic.remove_asides(folder)
    others = moved(before, now)
    note = f"{', '.join(others)}: the same content as before, at another place" if others else ""
    return Place(folder, claim, not run_folder.made_nothing(folder), [], note)


def _claimed(folder: Path) -> Claim | None:
    """The claim on a folder that was there; None where another process, or another user, has it."""
    try:
        return Claim(folder)
    except (Claimed, system.SystemFault):
        return None


def _refusal(folder: Path, before: Known, now: Known, differing: list[str]) -> str:
    named = [change(key, before, now) for key in differing]
    return (
        f"{folder} was begun with other files; they differ in {', '.join(named)}. What is there would not go "
        "together with what is still to be made. Put the files back to go on, or start anew: give another output= or "
        f"remove {folder}"
    )


def _empty(parent: Path, made: list[Path]) -> Place | None:
    """A folder whose run was killed before it made anything."""
    for folder in reversed(list(_folders(parent))):
        if not (folder / LOCK).is_file() or not run_folder.made_nothing(folder):
            continue
        claim = _claimed(folder)
        if claim is None:
            continue
        if run_folder.made_nothing(folder):
            run_folder.clear(folder, _is_old)
            return Place(folder, claim, made=[folder, *made])
        claim.release()
    return None


def _is_old(name: str) -> bool:
    return run_folder.is_wrapping(name) and name != LOCK


def _new(parent: Path, made: list[Path]) -> Place:
    number = max((int(p.name) for p in _folders(parent)), default=0) + 1
    while True:
        folder = parent / f"{number:04d}"
        try:
            folder.mkdir()
            return Place(folder, Claim(folder), made=[folder, *made])
        except (FileExistsError, Claimed):  # another process was quicker
            number += 1


def _folders(parent: Path) -> Iterator[Path]:
    """The numbered folders, the newest first."""
    found = [p for p in parent.iterdir() if _NUMBER.fullmatch(p.name)]
    yield from sorted(found, key=lambda p: -int(p.name))


def _configuration(text: str) -> str:
    return digest(without_places(text))


def _read(path: Path) -> dict[str, Any]:
    try:
        held = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return held if isinstance(held, dict) else {}


def _text(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, ValueError):
        return None
