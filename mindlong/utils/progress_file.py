"""How far a process is, for a program that watches it: JSON in the file that `MINDLONG_PROGRESS`
names, written anew now and then. Without the variable nothing is written.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from pathlib import Path
from typing import Any

VARIABLE = "MINDLONG_PROGRESS"
EVERY = 0.5  # seconds between two writes of one state


class _State:
    written = 0.0
    what = ""


def note(what: str, done: float, total: float | None, unit: str = "step") -> None:
    """Say how far it is: `done` of `total` in `unit`; the beginning and the end of something are
    always written.
    """
    place = os.environ.get(VARIABLE)
    now = time.monotonic()
    recent = what == _State.what and now - _State.written < EVERY and done != total
    if not place or recent:
        return
    _State.written, _State.what = now, what
    held = {"what": what, "done": done, "total": total, "unit": unit, "time": time.time()}
    aside = f"{place}.{os.getpid()}.tmp"
    with contextlib.suppress(OSError):  # it is only looked at
        Path(aside).write_text(json.dumps(held), encoding="utf-8")
        os.replace(aside, place)


def read(path: Path) -> dict[str, Any]:
    """What a process said last; {} where it said nothing, or nothing that can be read."""
    try:
        held = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return held if isinstance(held, dict) else {}
