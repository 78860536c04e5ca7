"""How good a long video of a synthetic world is: one object throughout, no jumps where segments
join, a smooth path.

Axes: F frames, H W pixels, C channels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from mindlong.scores.shapes import Rate
from mindlong.scores.worlds import WORLDS, Names, World
from mindlong.utils.errors import ConfigError

WINDOW = 16  # frames read together, as long as a clip


@dataclass(frozen=True)
class LongScore:
    """One video.

    Attributes:
        windows: how many stretches of WINDOW frames were read, each beginning where the last ended.
        agreeing: of them, those that show shapes and colours of the caption, surely.
        constant: all of them do.
        coloured: all show as many objects as the caption and in its colours, whatever the outlines
            and however sure the reader is.
        join: mean change of a pixel into and out of a join's frame, over the median change between
            frames; 0: no joins.
        worst: the same of the worst join.
        bend: root mean square of the path's second differences, pixels a frame and frame.
        moved: way from the first to the last place, pixels.
        background: change of a background pixel from frame to frame, of 255 (scores.worlds).
    """

    windows: int
    agreeing: int
    constant: bool
    coloured: bool
    join: float
    worst: float
    bend: float
    moved: float
    background: float


def score(
    frames_FHWC: np.ndarray,
    caption: str,
    joins: Sequence[int],
    shapes: tuple[str, ...],
    colours: tuple[str, ...],
    world: World = WORLDS["shapes"],
) -> LongScore:
    """Measure a video. `joins` are the frames that two segments share or at which one begins.

    Raises ConfigError where it has fewer than 2 frames or cannot be read, or the caption names
    nothing.
    """
    if len(frames_FHWC) < 2:
        raise ConfigError(f"a long video has at least 2 frames; this one has {len(frames_FHWC)}")
    wanted = world.said(caption)
    readings = _readings(frames_FHWC, shapes, colours, world)
    agreeing = sum(r.sure and r.names == wanted for r in readings)
    path = _path(readings)
    join, worst = joins_of(frames_FHWC, joins)
    bends = np.diff(path, 2, axis=0)
    bends = bends[np.isfinite(bends).all(1)]
    seen = path[np.isfinite(path).all(1)]
    return LongScore(
        len(readings),
        agreeing,
        agreeing == len(readings),
        all(_colours(r.names) == _colours(wanted) for r in readings),
        join,
        worst,
        float(np.sqrt((bends**2).sum(1).mean())) if len(bends) else float("inf"),
        float(np.linalg.norm(seen[-1] - seen[0])) if len(seen) else 0.0,
        world.background(frames_FHWC, readings),
    )


def _colours(names: Names) -> list[str]:
    return sorted(str(colour) for _, colour in names)


def path_of(
    frames_FHWC: np.ndarray,
    shapes: tuple[str, ...],
    colours: tuple[str, ...],
    world: World = WORLDS["shapes"],
) -> np.ndarray:
    """Where the object is, of two the one in front, (about F, 2) pixels, NaN where none is seen."""
    return _path(_readings(frames_FHWC, shapes, colours, world))


def changes(frames_FHWC: np.ndarray) -> np.ndarray:
    """(F - 1,): mean change of a pixel's channel from frame to frame, of 255."""
    return np.abs(np.diff(frames_FHWC.astype(np.float32), axis=0)).mean((1, 2, 3))


def _readings(
    frames_FHWC: np.ndarray, shapes: tuple[str, ...], colours: tuple[str, ...], world: World
) -> list[Any]:
    starts = range(0, max(len(frames_FHWC) - 1, 1), WINDOW - 1)
    return [
        world.read(frames_FHWC[s : s + WINDOW], shapes, colours)
        for s in starts
        if len(frames_FHWC) - s > 1
    ]


def _path(readings: Sequence[Any]) -> np.ndarray:
    return np.concatenate([r.position_F2[: WINDOW - 1] for r in readings])


def joins_of(frames_FHWC: np.ndarray, joins: Sequence[int]) -> tuple[float, float]:
    """(mean, worst) change of a pixel into and out of the frames `joins`, over the median change;
    zeros where there are none.
    """
    change = changes(frames_FHWC)
    usual = max(float(np.median(change)), 1e-6)
    inside = [j for j in joins if 0 < j < len(frames_FHWC) - 1]
    if not inside:
        return 0.0, 0.0
    at = np.array([[change[j - 1], change[j]] for j in inside]) / usual
    return float(at.mean()), float(at.max())


def table(scores: Sequence[LongScore]) -> dict[str, float]:
    """The rates, that of constant videos with its 95 % interval, and medians of several videos."""
    rows = [asdict(s) for s in scores]
    constant, coloured = (
        Rate(sum(row[name] for row in rows), len(rows)) for name in ("constant", "coloured")
    )
    middle = {
        name: float(np.median([row[name] for row in rows]))
        for name in ("join", "worst", "bend", "moved", "background")
    }
    return {
        "videos": len(rows),
        "constant": constant.share,
        "constant_low": constant.interval[0],
        "constant_high": constant.interval[1],
        "coloured": coloured.share,
        "coloured_low": coloured.interval[0],
        "coloured_high": coloured.interval[1],
        "agreeing": sum(r["agreeing"] for r in rows) / max(sum(r["windows"] for r in rows), 1),
        **middle,
    }
