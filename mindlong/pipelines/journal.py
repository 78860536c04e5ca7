"""Which jobs are done: a folder that belongs to one piece of work, and in it a line for every
finished job.

`work.json` says what the folder is for, so that another video is refused; `journal-RANK.jsonl`
grows by one synced line a job, which bears the digest of that, and has one writer, so processes
need no lock. A line that a kill tore off, or that was damaged, is no line: its job is done again.
The same command run again reads the lines and does the rest.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mindlong.utils.atomic import sync_folder, write_text
from mindlong.utils.errors import ConfigError
from mindlong.utils.log import get_logger
from mindlong.utils.system import explained

IDENTITY = "work.json"
OF_NO_LATENT = (  # keys of a configuration's top that change no latent
    "env",
    "formats",
    "gif_max_mb",
    "deflicker",
    "scale",
    "batch",
    "count",
    "prompts",
    "prompt",
)


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
        SystemFault: the folder cannot be read or written.
    """

    def __init__(self, folder: str | Path, identity: Mapping[str, Any], rank: int = 0) -> None:
        self.folder, self.done = Path(folder), {}
        self.own = self.folder / f"journal-{rank:04d}.jsonl"
        known = json.loads(json.dumps(identity))
        self.work = hashlib.sha256(json.dumps(known, sort_keys=True).encode()).hexdigest()[:16]
        self._bad: set[tuple[str, int]] = set()
        with explained(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            self.sure = self._claim(known)
            self._mend()
        self.refresh()

    def __contains__(self, name: str) -> bool:
        return name in self.done

    def refresh(self) -> None:
        """Read the lines of all processes again."""
        done: dict[str, list[dict[str, Any]]] = {}
        for path in sorted(self.folder.glob("journal-*.jsonl")):
            with explained(path):
                lines = path.read_text(encoding="utf-8", errors="replace").split("\n")
            for number, line in enumerate(lines):
                entry = _parsed(line)
                if entry is None:
                    self._note(path, number, line)
                elif entry.pop("work", self.work if self.sure else "") == self.work:
                    done.setdefault(entry.pop("job"), []).append(entry)
        self.done = done

    def add(self, name: str, **facts: Any) -> None:
        """Note that `name` is finished; on the disk when this returns. Raises SystemFault."""
        line = json.dumps({"job": name, **facts, "work": self.work}) + "\n"
        with explained(self.own), self.own.open("ab") as file:
            file.write(line.encode())
            file.flush()
            os.fsync(file.fileno())
        self.done.setdefault(name, []).append(facts)

    def forget(self, name: str) -> None:
        """What was made by the job `name` is not there any more, or not as it was."""
        self.done.pop(name, None)

    def _claim(self, identity: dict[str, Any]) -> bool:
        """Write down what the folder is for, or compare; False where that was damaged."""
        path = self.folder / IDENTITY
        there = None
        if path.exists():
            try:
                there = json.loads(path.read_text(encoding="utf-8"))
            except ValueError:
                there = "damaged"
        if isinstance(there, dict):
            for key in [*identity, *there]:
                if there.get(key) != identity.get(key):
                    raise ConfigError(
                        f"{self.folder} holds the jobs of another video: {key} is {_short(there.get(key))} there "
                        f"and {_short(identity.get(key))} here; give another folder or remove it"
                    )
            return True
        if there is not None:
            get_logger().warning(
                "%s is damaged; jobs are taken as done only where their journal says what they belong to",
                path,
            )
        write_text(path, json.dumps(identity, indent=1))
        return there is None

    def _mend(self) -> None:
        """End a torn last line, so that the next one stands by itself."""
        if not self.own.exists():
            self.own.touch()
            sync_folder(self.folder)
        written = self.own.read_bytes()
        if written and not written.endswith(b"\n"):
            with self.own.open("ab") as file:
                file.write(b"\n")

    def _note(self, path: Path, number: int, line: str) -> None:
        if line.strip() and (path.name, number) not in self._bad:
            self._bad.add((path.name, number))
            get_logger().warning(
                "%s: line %d is damaged; what it stood for is made again", path, number + 1
            )


def _parsed(line: str) -> dict[str, Any] | None:
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return entry if isinstance(entry, dict) and isinstance(entry.get("job"), str) else None


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else text[:57] + "..."
