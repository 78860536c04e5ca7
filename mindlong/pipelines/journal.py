"""Which jobs are done: a folder that belongs to one piece of work, and in it a line for every
finished job.

`work.json` says what the folder is for, so that another video is refused; `journal-RANK.jsonl`
grows by one synced line a job and has one writer, so processes need no lock. A line that a kill
tore off is no line. The same command run again reads the lines and does the rest.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mindlong.utils.atomic import sync_folder, write_text
from mindlong.utils.errors import ConfigError, InputFileError

IDENTITY = "work.json"


class Journal:
    """The finished jobs of one piece of work.

    Args:
        folder: made if it is missing; shared by all processes of the job.
        identity: what the results depend on (plan, seed, prompts, weights, steps), as plain JSON
            values.
        rank: of this process; each writes lines of its own and reads everybody's.

    Attributes:
        done: for every finished job by its name the facts noted with it, one dictionary for each
            time it was finished; `refresh` takes in what other processes have finished since.

    Raises:
        ConfigError: the folder belongs to other work; the sentence names the first difference.
        InputFileError: `work.json` cannot be read.
    """

    def __init__(self, folder: str | Path, identity: Mapping[str, Any], rank: int = 0) -> None:
        self.folder, self.done = Path(folder), {}
        self.own = self.folder / f"journal-{rank:04d}.jsonl"
        self.folder.mkdir(parents=True, exist_ok=True)
        self._claim(json.loads(json.dumps(identity)))
        self._mend()
        self.refresh()

    def __contains__(self, name: str) -> bool:
        return name in self.done

    def refresh(self) -> None:
        """Read the lines of all processes again."""
        done: dict[str, list[dict[str, Any]]] = {}
        for path in sorted(self.folder.glob("journal-*.jsonl")):
            for line in path.read_text(encoding="utf-8", errors="replace").split("\n"):
                entry = _parsed(line)
                if entry is not None:
                    done.setdefault(entry.pop("job"), []).append(entry)
        self.done = done

    def add(self, name: str, **facts: Any) -> None:
        """Note that `name` is finished; on the disk when this returns."""
        line = json.dumps({"job": name, **facts}) + "\n"
        with self.own.open("ab") as file:
            file.write(line.encode())
            file.flush()
            os.fsync(file.fileno())
        self.done.setdefault(name, []).append(facts)

    def _claim(self, identity: dict[str, Any]) -> None:
        path = self.folder / IDENTITY
        if not path.exists():
            write_text(path, json.dumps(identity, indent=1))
            return
        try:
            there = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise InputFileError(
                f"{path} cannot be read ({error}); remove the folder and start again"
            ) from None
        for key in [*identity, *there]:
            if there.get(key) != identity.get(key):
                raise ConfigError(
                    f"{self.folder} holds the jobs of another video: {key} is {_short(there.get(key))} there and "
                    f"{_short(identity.get(key))} here; give another folder or remove it"
                )

    def _mend(self) -> None:
        """End a torn last line, so that the next one stands by itself."""
        if not self.own.exists():
            self.own.touch()
            sync_folder(self.folder)
        written = self.own.read_bytes()
        if written and not written.endswith(b"\n"):
            self.own.write_bytes(written + b"\n")


def _parsed(line: str) -> dict[str, Any] | None:
    try:
        entry = json.loads(line)
    except ValueError:
        return None
    return entry if isinstance(entry, dict) and isinstance(entry.get("job"), str) else None


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else text[:57] + "..."
