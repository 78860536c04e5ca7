"""How everything that is drawn looks, contact sheets and plots: one paper, one ink, one font, one
margin.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mindlong.utils.atomic import replacing

PAPER, INK, GREY, LINE = "#18181a", "#ebebeb", "#8f8f94", "#3a3a3e"
COLOURS = ("#6fb1e0", "#f0895f", "#8fce8b", "#d7a6e8", "#e8d26a", "#6fd6cf", "#e88aa3", "#b0b0b6")
FONT = "DejaVu Sans"  # comes with matplotlib
TEXT = 13  # pixels of a caption; of plots in points at 100 dots an inch
GAP = 4  # pixels between what stands side by side


def rgb(colour: str) -> tuple[int, int, int]:
    """The three numbers of "#rrggbb"."""
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)


@contextmanager
def plot(path: Path, width: float, height: float, dpi: int = 100) -> Iterator[Any]:
    """`with plot(path, 8, 5) as figure:` - a matplotlib figure of that many inches, written as a
    PNG at the end; what is made inside has this look.
    """
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with matplotlib.rc_context(_style()):
        figure = Figure(figsize=(width, height), layout="constrained")
        FigureCanvasAgg(figure)
        yield figure
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as aside:
            figure.savefig(aside, dpi=dpi, format="png")


def _style() -> Any:
    import matplotlib
    import matplotlib.rcsetup

    size = TEXT * 72 / 100
    kept = dict.fromkeys(("text.color", "axes.labelcolor", "axes.titlecolor"), INK)
    kept |= dict.fromkeys(("xtick.labelcolor", "ytick.labelcolor"), INK)
    return {
        **{k: v for k, v in matplotlib.rcParamsDefault.items() if k in _PLAIN},
        **kept,
        **dict.fromkeys(("figure.facecolor", "axes.facecolor", "savefig.facecolor"), PAPER),
        **dict.fromkeys(("axes.edgecolor", "xtick.color", "ytick.color"), GREY),
        "grid.color": LINE,
        "legend.facecolor": PAPER,
        "legend.edgecolor": LINE,
        "font.family": [FONT],
        "font.size": size,
        "axes.titlesize": size,
        "axes.labelsize": size,
        "legend.fontsize": size,
        "xtick.labelsize": 0.85 * size,
        "ytick.labelsize": 0.85 * size,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.prop_cycle": matplotlib.rcsetup.cycler(color=COLOURS),
    }


_PLAIN = ("lines.linewidth", "lines.markersize", "axes.grid", "figure.dpi")  # whatever a user's are
