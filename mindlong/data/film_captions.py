"""What the film world says of a clip, and how that is read back from words.

    a red circle moving right in front of a blue square, the camera pans left and zooms in

Directions are those in the scene: an object that the camera follows moves, though it stays where it
is in the image. An object of which no direction is said is at rest in the scene; "in front of" is
said where the first object hides part of the second; of a camera that stands still nothing is said.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from mindlong.data.shapes import parse_caption

PANS = {"left": (-1.0, 0.0), "right": (1.0, 0.0), "up": (0.0, -1.0), "down": (0.0, 1.0)}
ZOOMS = {"in": 1.0, "out": -1.0}
_BETWEEN = re.compile(r"\bin front of\b|\band\b(?=\s+an?\s)")
_PAN = re.compile(r"\bpans?\s+(left|right|up|down)\b")
_ZOOM = re.compile(r"\bzooms?\s+(in|out)\b")


@dataclass(frozen=True)
class Named:
    """An object as a caption names it; `motion` None: at rest in the scene."""

    shape: str
    colour: str
    motion: str | None

    @property
    def text(self) -> str:
        """`a red circle moving right`."""
        article = "an" if self.colour[0] in "aeiou" else "a"
        moving = f" moving {self.motion}" if self.motion else ""
        return f"{article} {self.colour} {self.shape}{moving}"


@dataclass(frozen=True)
class FilmCaption:
    """What a caption says: objects (the one in front first), whether the first hides part of the
    second, and which way the camera pans and zooms (None: it does not).
    """

    objects: tuple[Named, ...]
    occludes: bool = False
    pan: str | None = None
    zoom: str | None = None

    @property
    def text(self) -> str:
        """The caption."""
        between = " in front of " if self.occludes else " and "
        moves = [f"pans {self.pan}"] * bool(self.pan) + [f"zooms {self.zoom}"] * bool(self.zoom)
        camera = f", the camera {' and '.join(moves)}" if moves else ""
        return between.join(named.text for named in self.objects) + camera


def parse_film(text: str) -> FilmCaption | None:
    """What `text` says; None where an object's shape or colour is not named, or more than two
    objects are. A caption of the shapes world is one of the film world.
    """
    said, _, camera = text.lower().partition("the camera")
    objects = []
    for part in _BETWEEN.split(said):
        shape, colour, motion = parse_caption(part)
        if shape is None or colour is None:
            return None
        objects.append(Named(shape, colour, motion))
    if len(objects) > 2:
        return None
    pan, zoom = _PAN.search(camera), _ZOOM.search(camera)
    return FilmCaption(
        tuple(objects),
        "in front of" in said,
        pan.group(1) if pan else None,
        zoom.group(1) if zoom else None,
    )


def only_film(text: str) -> bool:
    """Whether `text` says what the shapes world cannot show: two objects, a moving camera."""
    said = parse_film(text)
    return said is not None and bool(len(said.objects) > 1 or said.pan or said.zoom)
