"""Trainings to watch, from what they write into their folders: metrics.csv, previews/, log.txt."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mindlong.app.folders import changed, files_in, folders_in, newest_first
from mindlong.training import metrics
from mindlong.utils import system
from mindlong.utils.errors import InputFileError
from mindlong.utils.run_folder import CONFIG

if TYPE_CHECKING:
    from mindlong.app.place import Place

DEEPEST = 3  # folders below one that was named
MOST = 200
PREVIEWS, LOG = "previews", "log.txt"  # in a run's folder; the first is training.preview's
CURVES = (  # column, label, logarithmic
    ("loss", "loss", True),
    ("lr", "learning rate", False),
    ("grad_norm", "gradient norm", True),
    ("samples_per_s", "samples per second", False),
)
SHOWN = (".png", ".gif", ".mp4", ".webm")
TAIL = 6_000


@dataclass(frozen=True)
class Training:
    """A training's folder."""

    name: str
    folder: Path

    def rows(self) -> list[dict[str, str]]:
        """What metrics.csv holds. A row that cannot be drawn is none: the others are still worth
        seeing.

        Raises:
            InputFileError: it is no table of text. SystemFault: it cannot be read.
        """
        path = self.folder / metrics.FILE
        try:
            with system.explained(path):
                found = metrics.read(path)
        except (ValueError, csv.Error) as error:  # not UTF-8, or no CSV
            raise InputFileError(
                f"{path} cannot be read: {error}; it must be the table that train.py writes"
            ) from error
        return [row for row in found if _can_be_drawn(row)]

    def facts(self, rows: Sequence[Mapping[str, str]]) -> list[list[str]]:
        """(what, value) of the last of its rows."""
        if not rows:
            return [["step", "none yet"]]
        last = rows[-1]
        names = {"samples_per_s": "samples per second", "memory_mb": "memory in MB"}
        return [[names.get(key, key.replace("_", " ")), last[key]] for key in metrics.COLUMNS]

    def previews(self) -> list[Path]:
        """The newest previews first: images and videos."""
        return newest_first(files_in(self.folder / PREVIEWS, SHOWN))

    def said(self) -> str:
        """The end of its log."""
        try:
            return (self.folder / LOG).read_text(encoding="utf-8", errors="replace")[-TAIL:]
        except OSError:
            return ""

    def stamp(self) -> tuple[Any, ...]:
        """Changes when there is something new to show."""
        places = (self.folder / metrics.FILE, self.folder / PREVIEWS, self.folder / LOG)
        return (self.name, *map(changed, places))


def trainings_of(place: Place) -> list[Training]:
    """The trainings below the folders that the page was started with."""
    found: list[Training] = []
    for folder in place.trainings:
        for path in _below(folder, DEEPEST):
            name = folder.name if path == folder else f"{folder.name}/{path.relative_to(folder)}"
            found.append(Training(name, path))
    return found[:MOST]


def chosen_of(names: Sequence[str], which: str | None) -> str | None:
    """Which training is watched: the one that was chosen as long as it is there, else the first;
    None where there is none.
    """
    if which in names:
        return which
    return names[0] if names else None


def _below(folder: Path, depth: int) -> list[Path]:
    if _is_training(folder):
        return [folder]
    if not depth:
        return []
    return [found for each in folders_in(folder) for found in _below(each, depth - 1)]


def _is_training(folder: Path) -> bool:
    """Whether it is the folder of a training that may be read."""
    try:
        return metrics.is_ours(folder / metrics.FILE) and (folder / CONFIG).is_file()
    except OSError:
        return False


def _can_be_drawn(row: Mapping[str, str]) -> bool:
    """Whether a row has a whole step, and numbers in the columns of the curves."""
    try:
        float(int(row["step"]))  # a step beyond all floats has no place on an axis
        for column, *_ in CURVES:
            float(row[column])
    except (KeyError, TypeError, ValueError, OverflowError):
        return False
    return True


def drawn(rows: list[dict[str, str]]) -> bytes:
    """Curves over the steps as a PNG."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 5.6), layout="constrained")
    FigureCanvasAgg(figure)
    steps = [int(row["step"]) for row in rows]
    axes = figure.subplots(2, 2, sharex=True)
    for axis, (column, label, logarithmic) in zip(axes.flat, CURVES, strict=True):
        values = [float(row[column]) for row in rows]
        axis.plot(steps, values, color="#4f46e5", alpha=0.9 if column == "lr" else 0.3, linewidth=1)
        if column != "lr":  # which has no noise to be smoothed
            axis.plot(steps, metrics.smoothed(values), color="#4f46e5", linewidth=1.6)
        axis.set_title(label, fontsize=10, loc="left")
        positive = logarithmic and values and min(values) > 0
        axis.set_yscale("log" if positive else "linear")
        axis.grid(alpha=0.25)
        axis.spines[["top", "right"]].set_visible(False)
    for axis in axes[1]:
        axis.set_xlabel("step")
    out = io.BytesIO()
    figure.savefig(out, dpi=110, format="png")
    return out.getvalue()
