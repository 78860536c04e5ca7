"""metrics.csv and loss.png of a run.

A row covers the steps since the row before. What is summed for the next row is part of a
checkpoint's state, and rows after the checkpoint are dropped on resume: an interrupted run leaves
the same file as an undisturbed one, except for the timing columns.
"""

from __future__ import annotations

import contextlib
import csv
import io
import math
import os
import resource
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mindlong.utils import look, system
from mindlong.utils.atomic import write_text
from mindlong.utils.errors import InputFileError, UserError
from mindlong.utils.log import get_logger

COLUMNS = (
    "step",
    "loss",
    "grad_norm",
    "lr",
    "skipped",
    "samples_per_s",
    "data_wait_s",
    "memory_mb",
)
TIMING = COLUMNS[5:]
FEW = 10  # rows that are marked one by one
FILE, PLOT = "metrics.csv", "loss.png"  # in a run's folder


@dataclass
class Sums:
    """What the next row is made of. A checkpoint keeps all but the last three, which are clock
    time.
    """

    loss: float = 0.0
    norm: float = 0.0
    steps: int = 0
    finite: int = 0
    seconds: float = 0.0
    waited: float = 0.0
    samples: int = 0


class Metrics:
    """Appends rows to `path`, one every `every` steps.

    Args:
        path: the CSV file; rows beyond `step` are dropped, none may be missing before it.
        every: steps between rows.
        step: the step the run starts after.
        sums: what a checkpoint of that step had summed up.
        shown: is called with each new row, by column.
        check: is called before anything is appended, and raises UserError where `path` is not to be
            written any more.
    """

    def __init__(
        self,
        path: Path,
        every: int,
        step: int = 0,
        sums: dict[str, float] | None = None,
        shown: Callable[[Mapping[str, Any]], None] | None = None,
        check: Callable[[], None] = lambda: None,
    ) -> None:
        self.path, self.every, self.shown, self.check = path, every, shown, check
        self.sums = Sums(**(sums or {}))
        self.late: list[str] = []  # rows that could not be written yet
        rows = [row for row in _understood(path) if int(row["step"]) <= step]
        write_text(path, _lines([COLUMNS, *([row[c] for c in COLUMNS] for row in rows)]))

    def add(self, step: int, loss: float, norm: float, skipped: bool) -> None:
        """Count an update: `norm` of a skipped one is left out of the mean."""
        self.sums.loss, self.sums.steps = self.sums.loss + loss, self.sums.steps + 1
        if not skipped:
            self.sums.norm, self.sums.finite = self.sums.norm + norm, self.sums.finite + 1

    def time(self, seconds: float, waited: float, samples: int) -> None:
        """Count the clock: a step's seconds, those of them spent waiting for data, its samples over
        all processes.
        """
        self.sums.seconds, self.sums.waited = self.sums.seconds + seconds, self.sums.waited + waited
        self.sums.samples += samples

    def row(self, step: int, lr: float, skipped: int) -> None:
        """Write a row if `step` is due. `skipped` counts from the start of the run."""
        if step % self.every:
            return
        s, self.sums = self.sums, Sums()
        norm = s.norm / s.finite if s.finite else float("nan")
        values = (
            step,
            f"{s.loss / s.steps:.8g}",
            f"{norm:.8g}",
            f"{lr:.8g}",
            skipped,
            f"{s.samples / max(s.seconds, 1e-9):.3f}",
            f"{s.waited:.3f}",
            f"{memory_mb():.0f}",
        )
        self.late.append(_lines([values]))
        if self.shown is not None:
            self.shown(dict(zip(COLUMNS, values, strict=True)))
        try:
            self.flush()
        except UserError as error:  # no reason to lose what was learnt since the last save
            get_logger().warning("%s (the row is kept for later)", error)

    def flush(self) -> None:
        """Write the rows that are not yet written. Raises SystemFault: they cannot be; and what
        `check` raises.
        """
        self.check()
        with system.explained(self.path), self.path.open("ab") as file:
            size = file.tell()
            try:
                file.write("".join(self.late).encode())
                file.flush()
            except OSError:
                with contextlib.suppress(OSError):
                    os.ftruncate(file.fileno(), size)
                raise
        self.late.clear()

    def state(self) -> dict[str, float]:
        """The part of the sums that an exact resume needs."""
        kept = asdict(self.sums)
        return {key: kept[key] for key in ("loss", "norm", "steps", "finite")}


def read(path: Path) -> list[dict[str, str]]:
    """The whole rows of a metrics file; a last line cut short by a crash is not one. None if there
    is no file.

    Raises:
        InputFileError: it is no text, or a step no whole number.
    """
    if not path.exists():
        return []
    try:
        text = path.read_text(encoding="utf-8-sig")  # a spreadsheet may have put a mark before it
        rows = csv.DictReader(io.StringIO(text[: text.rfind("\n") + 1]))
        whole = [row for row in rows if all(row.get(c) is not None for c in COLUMNS)]
        return [{**row, "step": str(_whole(row["step"]))} for row in whole]
    except (ValueError, csv.Error) as error:
        raise InputFileError(f"{path} is no table of a training's metrics: {error}") from None


def has_rows(path: Path) -> bool:
    """Whether a file holds rows, or what cannot be understood."""
    try:
        return bool(read(path))
    except InputFileError:
        return True


def _whole(text: str) -> int:
    """A step, which a spreadsheet may have written as 12.0."""
    number = float(text)
    if not number.is_integer():
        raise ValueError(f"{text!r} is no step")
    return int(number)


def _understood(path: Path) -> list[dict[str, str]]:
    """The rows of a file; one that holds none that can be read is kept beside, with a warning."""
    try:
        rows, why = read(path), "it has no rows with a training's columns"
    except InputFileError as error:
        rows, why = [], str(error)
    if (
        rows
        or not path.exists()
        or path.read_bytes().strip() in (b"", _lines([COLUMNS]).strip().encode())
    ):
        return rows
    kept = next(p for p in _beside(path) if not p.exists())
    path.rename(kept)
    get_logger().warning("%s is kept as %s and begun anew: %s", path, kept.name, why)
    return []


def _beside(path: Path) -> Iterator[Path]:
    return (path.with_name(f"{path.stem}.before-{number}.csv") for number in range(1, 10**6))


def is_ours(path: Path) -> bool:
    """Whether a file has the columns of a training's metrics; losses of other programs have not."""
    if not path.is_file():
        return False
    with path.open(encoding="utf-8", errors="replace") as file:
        return set(COLUMNS) <= set(file.readline(4096).strip().split(","))


def memory_mb() -> float:
    """The most memory this process has held so far, in MB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10


def _lines(rows: list) -> str:
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows(rows)
    return out.getvalue()


def draw(csv_path: Path, png_path: Path) -> None:
    """Plot loss and gradient norm over the steps; nothing is written while there are no rows."""
    rows = read(csv_path)
    if not rows:
        return
    steps = [int(row["step"]) for row in rows]
    with look.plot(png_path, 8, 5) as figure:
        panels = figure.subplots(2, 1, sharex=True)
        for axis, column in zip(panels, ("loss", "grad_norm"), strict=True):
            values = [float(row[column]) for row in rows]
            axis.plot(steps, values, color=look.GREY, alpha=0.6, linewidth=0.8)
            mark = "." if len(steps) < FEW else ""
            axis.plot(steps, smoothed(values), mark + "-", label=f"{column}, smoothed")
            axis.set(ylabel=column, yscale="log" if min(values) > 0 else "linear")
            axis.grid()
            axis.legend(loc="upper right")
        panels[-1].set_xlabel("step")


def smoothed(values: list[float], share: float = 0.05) -> list[float]:
    """Exponential mean over about `share` of the values, started at the first number; gaps keep the
    level before.
    """
    keep = 1.0 - 1.0 / max(share * len(values), 1.0)
    out, level = [], next((v for v in values if math.isfinite(v)), math.nan)
    for value in values:
        level = keep * level + (1.0 - keep) * value if math.isfinite(value) else level
        out.append(level)
    return out
