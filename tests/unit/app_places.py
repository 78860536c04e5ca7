"""A page's folder with two people, for the tests of the page."""

from pathlib import Path

import numpy as np
from PIL import Image

from mindlong.app.desk import Desk
from mindlong.app.place import Place

ANNA, BORIS = "a" * 32, "b" * 32


def place_in(folder: Path, **more) -> Place:
    weights, trainings = folder / "weights", folder / "trainings"
    for each in (weights, trainings):
        each.mkdir(exist_ok=True)
    made = Place(folder / "home", weights=(weights,), trainings=(trainings,), **more)
    made.prepare()
    return made


def desk(place: Place, owner: str = ANNA) -> Desk:
    return Desk(place, place.person(owner))


def arrived(place: Place, data: bytes, name: str = "given.png") -> str:
    """Bytes as Gradio leaves them when they are uploaded."""
    folder = place.served / ("0" * 64)
    folder.mkdir(exist_ok=True)
    (folder / name).write_bytes(data)
    return str(folder / name)


def png(size=(8, 8), colour=(200, 30, 30)) -> bytes:
    import io

    out = io.BytesIO()
    Image.fromarray(np.full((*size, 3), colour, np.uint8)).save(out, "PNG")
    return out.getvalue()
