"""Which of the two synthetic worlds a long video shows, and how it is read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mindlong.data.film import FILM_SHAPES
from mindlong.data.film_captions import only_film, parse_film
from mindlong.data.film_reader import read_film
from mindlong.data.shapes import SHAPES, parse_caption
from mindlong.data.shapes_reader import read
from mindlong.scores.outline import background_change
from mindlong.utils.errors import ConfigError, did_you_mean

Names = tuple[tuple[str | None, str | None], ...]  # shape and colour of every object


@dataclass(frozen=True)
class World:
    """How a video of a world is read.

    Attributes:
        read: (frames, shapes, colours, ...) -> a reading with `names`, `sure`, `steady`,
            `position_F2`.
        shapes: the outlines that it has.
        said: the names of a caption.
        background: change of a background pixel from frame to frame, of 255, of a video and its
            readings.
    """

    read: Callable[..., Any]
    shapes: tuple[str, ...]
    said: Callable[[str], Names]
    background: Callable[[np.ndarray, Sequence[Any]], float]

    def known(self, shapes: Sequence[str]) -> tuple[str, ...]:
        """`shapes`, all of which it has. Raises ConfigError."""
        for name in shapes:
            if name not in self.shapes:
                raise ConfigError(
                    f"the world that is shown has no {name!r}.{did_you_mean(name, self.shapes)}"
                )
        return tuple(shapes)


def _said_of_film(caption: str) -> Names:
    said = parse_film(caption)
    return tuple(sorted((o.shape, o.colour) for o in said.objects)) if said else ()


def _ground(_: np.ndarray, readings: Sequence[Any]) -> float:
    """The camera's motion is taken out; the pieces' median."""
    return float(np.median([reading.ground_change for reading in readings]))


WORLDS = {
    "shapes": World(
        read,
        SHAPES,
        lambda caption: (parse_caption(caption)[:2],),
        lambda frames, _: background_change(frames),
    ),
    "film": World(read_film, FILM_SHAPES, _said_of_film, _ground),
}


def world_of(captions: Sequence[str], named: str | None = None) -> World:
    """The world that is named; else the film world, where a caption says what only that shows."""
    return WORLDS[named or ("film" if any(map(only_film, captions)) else "shapes")]
