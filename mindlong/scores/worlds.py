"""Which of the two synthetic worlds a long video shows, and how it is read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mindlong.data.film_captions import only_film, parse_film
from mindlong.data.film_reader import read_film
from mindlong.data.shapes import parse_caption
from mindlong.data.shapes_reader import read
from mindlong.scores.outline import background_change

Names = tuple[tuple[str | None, str | None], ...]  # shape and colour of every object


@dataclass(frozen=True)
class World:
    """How a video of a world is read.

    Attributes:
        read: (frames, shapes, colours, ...) -> a reading with `names`, `sure`, `steady`,
            `position_F2`.
        said: the names of a caption.
        background: change of a background pixel from frame to frame, of 255, of a video and its
            readings.
    """

    read: Callable[..., Any]
    said: Callable[[str], Names]
    background: Callable[[np.ndarray, Sequence[Any]], float]


def _said_of_film(caption: str) -> Names:
    said = parse_film(caption)
    return tuple(sorted((o.shape, o.colour) for o in said.objects)) if said else ()


def _ground(_: np.ndarray, readings: Sequence[Any]) -> float:
    """The camera's motion is taken out; the pieces' median."""
    return float(np.median([reading.ground_change for reading in readings]))


WORLDS = {
    "shapes": World(
        read,
        lambda caption: (parse_caption(caption)[:2],),
        lambda frames, _: background_change(frames),
    ),
    "film": World(read_film, _said_of_film, _ground),
}


def world_of(captions: Sequence[str], named: str | None = None) -> World:
    """The world that is named; else the film world, where a caption says what only that shows."""
    return WORLDS[named or ("film" if any(map(only_film, captions)) else "shapes")]
