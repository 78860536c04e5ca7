"""Which of the two synthetic worlds a long video shows, and how it is read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mindlong.data.film import FILM_SHAPES
from mindlong.data.film_captions import only_film
from mindlong.data.film_reader import read_film, said_of_film
from mindlong.data.shapes import COLOURS, SHAPES, known_names, parse_caption
from mindlong.data.shapes_reader import read
from mindlong.scores.outline import background_change
from mindlong.utils.errors import ConfigError

Names = tuple[tuple[str | None, str | None], ...]  # shape and colour of every object
SHOWN = "world that is shown"


@dataclass(frozen=True)
class World:
    """How a video of a world is read.

    Attributes:
        read: (frames, shapes, colours, ...) -> a reading with `names`, `sure`, `steady`,
            `position_F2`.
        shapes: the outlines that it has.
        said: the names of a caption; it raises ConfigError where that names nothing.
        background: change of a background pixel from frame to frame, of 255, of a video and its
            readings.
    """

    read: Callable[..., Any]
    shapes: tuple[str, ...]
    said: Callable[[str], Names]
    background: Callable[[np.ndarray, Sequence[Any]], float]

    def known(self, shapes: Sequence[str]) -> tuple[str, ...]:
        """`shapes`, all of which it has. Raises ConfigError."""
        return known_names("shapes", tuple(shapes), self.shapes, SHOWN)

    def check_seen(
        self, captions: Sequence[str], shapes: Sequence[str], colours: Sequence[str]
    ) -> None:
        """Raises ConfigError where a caption names nothing, or what the reader does not choose
        from: it could never be right.
        """
        for caption in captions:
            for shape, colour in self.said(caption):
                for kind, name, choices in (
                    ("shapes", shape, shapes),
                    ("colours", colour, colours),
                ):
                    if name not in choices:
                        raise ConfigError(
                            f"the caption {caption!r} names {name!r}, which is none of the {kind} that "
                            f"the reader chooses from ({', '.join(choices)}); it could never be read"
                        )

    def known_colours(self, colours: Sequence[str]) -> tuple[str, ...]:
        """`colours`, all of which it has. Raises ConfigError."""
        return known_names("colours", tuple(colours), COLOURS, SHOWN)


def _names_of_shape(caption: str) -> Names:
    shape, colour, _ = parse_caption(caption)
    if shape is None or colour is None:
        raise ConfigError(f"the caption {caption!r} does not name a shape and a colour")
    return ((shape, colour),)


def _names_of_film(caption: str) -> Names:
    return tuple(sorted((o.shape, o.colour) for o in said_of_film(caption).objects))


def _ground(_: np.ndarray, readings: Sequence[Any]) -> float:
    """The camera's motion is taken out; the pieces' median."""
    return float(np.median([reading.ground_change for reading in readings]))


WORLDS = {
    "shapes": World(
        read,
        SHAPES,
        _names_of_shape,
        lambda frames, _: background_change(frames),
    ),
    "film": World(read_film, FILM_SHAPES, _names_of_film, _ground),
}


@dataclass(frozen=True)
class Eyes:
    """A world's reader and the names that it chooses from (empty: all that it knows).

    Attributes:
        unsure: it is believed also where it is not sure.
    """

    world: World = WORLDS["shapes"]
    shapes: tuple[str, ...] = ()
    colours: tuple[str, ...] = tuple(COLOURS)
    unsure: bool = False

    def read(self, frames_FHWC: np.ndarray) -> Any:
        """A reading of a video."""
        found = self.world.read(frames_FHWC, self.shapes or self.world.shapes, self.colours)
        return found.believed if self.unsure else found


def world_of(captions: Sequence[str], named: str | None = None) -> World:
    """The world that is named; else the film world, where a caption says what only that shows."""
    return WORLDS[named or ("film" if any(map(only_film, captions)) else "shapes")]
