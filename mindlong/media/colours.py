"""The colour that shows where a video is transparent.

A file may be transparent, a frame of ours is not: it is composed on one colour, white as on a page,
unless another is asked for.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import numpy as np
from PIL import ImageColor

from mindlong.utils.errors import ConfigError

Colour = tuple[int, int, int]
WHITE: Colour = (255, 255, 255)
_chosen: list[Colour] = [WHITE]  # the last counts, in all threads


def parse_colour(text: str, key: str = "alpha_background") -> Colour:
    """(red, green, blue) of a colour's name (`white`), `#rrggbb`, or `rgb(0, 128, 255)`.

    Raises:
        ConfigError: no colour; `key` is what the sentence calls it.
    """
    try:
        return ImageColor.getrgb(str(text))[:3]
    except ValueError:
        raise ConfigError(
            f"{key} is {str(text)!r}; it must be a colour such as white, black or '#808080'"
        ) from None


def background() -> Colour:
    """The colour that is shown through where nobody names another."""
    return _chosen[-1]


@contextlib.contextmanager
def shown_on(colour: Colour) -> Iterator[None]:
    """Inside, transparent parts are shown on `colour`."""
    _chosen.append(colour)
    try:
        yield
    finally:
        _chosen.pop()


def named(colour: Colour) -> str:
    """The colour for a sentence."""
    usual = {(255, 255, 255): "white", (0, 0, 0): "black"}
    return usual.get(colour, "#{:02x}{:02x}{:02x}".format(*colour))


def compose(frame_HWC: np.ndarray, colour: Colour) -> tuple[np.ndarray, bool]:
    """A frame (H, W, 4) uint8, alpha not premultiplied, on `colour`: (H, W, 3), and whether
    anything of it shows through.
    """
    alpha = frame_HWC[..., 3:].astype(np.uint16)
    if alpha.min() == 255:
        return np.ascontiguousarray(frame_HWC[..., :3]), False
    ground = np.array(colour, np.uint16)
    mixed = (frame_HWC[..., :3] * alpha + ground * (255 - alpha) + 127) // 255
    return mixed.astype(np.uint8), True


def note(colour: Colour) -> str:
    """What is said of a file with transparent parts."""
    return f"its transparent parts are shown on {named(colour)}"
