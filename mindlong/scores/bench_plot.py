"""The scores of two folders of videos, one panel a score, one point a video."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mindlong.scores.intervals import of_mean
from mindlong.utils import look


def plot(path: Path, values: Mapping[str, Sequence[Sequence[float]]], names: Sequence[str]) -> None:
    """Write a PNG: for each score the values of both groups, their means and intervals."""
    with look.plot(path, 2.1 * len(values), 3.2) as figure:
        panels = figure.subplots(1, len(values), squeeze=False)[0]
        for panel, (score, groups) in zip(panels, values.items(), strict=True):
            _points(panel, groups)
            panel.set_title(score.replace("_", "\n"))
            panel.set_xticks(range(len(names)), names)
            panel.set_xlim(-0.5, len(names) - 0.5)


def _points(panel: Any, groups: Sequence[Sequence[float]]) -> None:
    for place, (group, colour) in enumerate(zip(groups, look.COLOURS, strict=False)):
        spread = np.linspace(-0.12, 0.12, len(group)) if len(group) > 1 else [0.0]
        panel.plot(place + np.asarray(spread), group, ".", color=colour, alpha=0.45)
        held = of_mean(group)
        panel.plot([place, place], [held.low, held.high], color=colour, lw=2)
        panel.plot(place, held.mean, "o", color=colour)
