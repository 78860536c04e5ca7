"""A palette of at most 256 colours: exact where a clip has no more, else of a median cut over the
whole clip, with a dither that stands still.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import numpy as np
from PIL import Image

MOST = 256
SAMPLED = 32  # frames that a palette is made of
SIDE = 160  # pixels of their longer side
LIST = 8  # palette colours that a pixel's colour is mixed of
TILE = np.array([[0, 8, 2, 10], [12, 4, 14, 6], [3, 11, 1, 9], [15, 7, 13, 5]])  # Bayer's
Frames = Callable[[], Iterator[np.ndarray]]


class Palette:
    """Colours, and which of them each pixel gets.

    Args:
        colours_K3: uint8. mixed: pixels between two colours are dithered; else each has exactly one
            of the colours.

    The dither is Knoll's: of a pixel's colour a list of palette colours is made whose mean it is,
    and its place in a tile says which of them, from dark to bright, it shows. So it follows from
    place and colour alone, and what stands still does not flicker.
    """

    def __init__(self, colours_K3: np.ndarray, mixed: bool = False) -> None:
        light = colours_K3.astype(np.int64) @ np.array([299, 587, 114])
        self.colours, self.mixed = colours_K3[np.argsort(light, kind="stable")], mixed
        self.bits = max(int(len(colours_K3) - 1).bit_length(), 1)
        self._codes = _packed(self.colours)
        self._order = np.argsort(self._codes)
        self._image = Image.new("P", (1, 1))
        self._image.putpalette(self.table())

    def table(self) -> bytes:
        """The colour table of a GIF, filled up to a power of two."""
        return self.colours.tobytes() + b"\0" * (3 * ((1 << self.bits) - len(self.colours)))

    def index(self, frame_HWC: np.ndarray) -> np.ndarray:
        """uint8 (H, W)."""
        return self._mixed(frame_HWC) if self.mixed else self._exactly(frame_HWC)

    def _mixed(self, frame_HWC: np.ndarray) -> np.ndarray:
        height, width = frame_HWC.shape[:2]
        wanted, missing = frame_HWC.astype(np.int16), np.zeros(frame_HWC.shape, np.int16)
        found = np.empty((LIST, height, width), np.uint8)
        for number in range(LIST):
            found[number] = self._nearest(np.clip(wanted + missing, 0, 255).astype(np.uint8))
            missing += wanted - self.colours[found[number]]
        found.sort(axis=0)  # the palette goes from dark to bright
        tiles = -(-height // len(TILE)), -(-width // len(TILE))
        place = np.tile(TILE, tiles)[:height, :width] * LIST // TILE.size
        return np.take_along_axis(found, place[None], 0)[0]

    def _nearest(self, frame_HWC: np.ndarray) -> np.ndarray:
        found = Image.fromarray(frame_HWC).quantize(palette=self._image, dither=Image.Dither.NONE)
        return np.minimum(np.asarray(found), len(self.colours) - 1)

    def _exactly(self, frame_HWC: np.ndarray) -> np.ndarray:
        ordered = self._codes[self._order]
        places = np.searchsorted(ordered, _packed(frame_HWC))
        return self._order[np.minimum(places, len(ordered) - 1)].astype(np.uint8)


def of_clip(frames: Frames, most: int = MOST) -> Palette | None:
    """The palette of a clip; None where each frame fits into an exact one of its own, and all
    together do not.
    """
    together = exact(frames(), most)
    if together is not None:
        return together
    if most == MOST and all(exact([frame]) for frame in frames()):
        return None
    sample = _sample(frames)
    made = Image.fromarray(sample).quantize(
        most, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE
    )
    count = int(np.asarray(made).max()) + 1
    colours = np.array((made.getpalette() or [])[: 3 * count], np.uint8).reshape(-1, 3)
    return Palette(colours, mixed=True)


def exact(frames: Iterable[np.ndarray], most: int = MOST) -> Palette | None:
    """The palette of all colours, None where there are more than `most`."""
    found = np.zeros(0, np.uint32)
    for frame in frames:
        found = np.union1d(found, _packed(frame))
        if len(found) > most:
            return None
    return Palette(np.stack([found >> 16, found >> 8 & 255, found & 255], 1).astype(np.uint8))


def _sample(frames: Frames) -> np.ndarray:
    """Frames of the whole clip side by side, small."""
    count = sum(1 for _ in frames())
    wanted = set(np.linspace(0, count - 1, min(count, SAMPLED)).round().astype(int).tolist())
    taken = [frame for number, frame in enumerate(frames()) if number in wanted]
    step = max(-(-max(taken[0].shape[:2]) // SIDE), 1)
    return np.concatenate([frame[::step, ::step] for frame in taken])


def _packed(frame: np.ndarray) -> np.ndarray:
    return frame.astype(np.uint32) @ np.array([65536, 256, 1], np.uint32)
