"""How many generated clips show what their captions of the film world ask for, by its reader, as
`scores.shapes` counts those of the shapes world.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from mindlong.data.film import FILM_SHAPES
from mindlong.data.film_reader import FilmReading, read_film, said_of_film
from mindlong.data.shapes import COLOURS
from mindlong.data.shapes_reader import FOUR
from mindlong.scores.shapes import Rate, Scores
from mindlong.utils.errors import ConfigError


def score_films(
    samples: Iterable[np.ndarray],
    captions: Sequence[str],
    shapes: tuple[str, ...] = FILM_SHAPES,
    colours: tuple[str, ...] = tuple(COLOURS),
    motions: tuple[str, ...] = FOUR,
    *,
    unsure: bool = False,
) -> Scores:
    """Read every sample (F, H, W, 3) uint8 and compare it with its caption.

    Each rate counts samples in which it holds of every object named; "order" counts those whose
    caption says "in front of" only, and is left out where none does. The outline's overlap is that
    of the worst object, the change of the ground that with the camera's motion taken out. `unsure`:
    readings count whether the reader is sure or not. Raises ConfigError if a caption names no
    object, or numbers of samples and captions differ.
    """
    for caption in captions:
        said_of_film(caption)
    readings = tuple(read_film(sample, shapes, colours, motions) for sample in samples)
    if len(readings) != len(captions) or not readings:
        raise ConfigError(
            f"{len(readings)} samples and {len(captions)} captions cannot be compared"
        )
    taken = [r.believed if unsure else r for r in readings]
    verdicts = tuple(_verdict(r, c) for r, c in zip(taken, captions, strict=True))
    names = dict.fromkeys(name for verdict in verdicts for name in verdict)
    counted = {name: [v[name] for v in verdicts if name in v] for name in names}
    return Scores(
        {name: Rate(sum(held), len(held)) for name, held in counted.items()},
        readings,
        verdicts,
        tuple(min((o.overlap for o in r.objects), default=0.0) for r in readings),
        tuple(r.ground_change for r in readings),
    )


def _verdict(reading: FilmReading, caption: str) -> dict[str, bool]:
    right = reading.agrees(caption)
    steady = reading.steady and reading.sure
    order = {"order": right["order"]} if said_of_film(caption).occludes else {}
    return {
        "shape": right["shape"],
        "colour": right["colour"],
        "shape and colour": right["shape"] and right["colour"],
        "direction": right["motion"],
        "camera": right["camera"],
        **order,
        "steady": steady,
        "all": all(right.values()) and steady,
    }
