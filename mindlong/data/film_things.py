"""The things of a film that have a colour: found by hue, which light and texture leave alone.

The ground is nearly grey, and an object is its colour brighter, darker or paler, so a pixel's
direction from grey names it and its share of colour says how much of the pixel it covers. Axes: F
frames, H, W pixels, K colours.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from mindlong.data.shapes import COLOURS

COLOURED = 0.24  # chroma over brightness, from which a pixel is not of the ground
SMALLEST = 0.003  # share of an image's pixels that a thing covers in some frame
OFTEN = 0.3  # share of the frames in which it is seen
SMALL = 0.15  # of the largest thing's area: smaller ones are its edges and glints
AROUND = np.ones((5, 5), np.uint8)  # pixels about one that tell how strong its colour would be
HALF = 0.42  # of that strength, from which the pixel is the thing's
_DARK = 0.06  # brightness that is added, so that black has no hue
_PLANE = np.array([[2.0, -1.0, -1.0], [0.0, np.sqrt(3.0), -np.sqrt(3.0)]]).T / np.sqrt(6.0)


@dataclass(frozen=True)
class Thing:
    """A thing of one colour, before it is called a shape.

    Attributes:
        colour: its name. purity: how near its hue is to the name's, 1 to 0 midway to another.
        mask_FHW: bool, its pixels. parts_F: of how many pieces. area_F: pixels.
    """

    colour: str
    purity: float
    mask_FHW: np.ndarray
    parts_F: np.ndarray

    @property
    def area_F(self) -> np.ndarray:
        """Pixels."""
        return self.mask_FHW.sum((1, 2))


@dataclass(frozen=True)
class Hues:
    """Of every pixel: (F, H, W, 2) in the plane of hues, over its brightness (F, H, W)."""

    tint_FHW2: np.ndarray
    light_FHW: np.ndarray

    @property
    def strength(self) -> np.ndarray:
        """(F, H, W): 0 for grey."""
        return np.hypot(self.tint_FHW2[..., 0], self.tint_FHW2[..., 1])

    def along(self, colours: tuple[str, ...]) -> np.ndarray:
        """(K, F, H, W): the part in the direction of each colour."""
        return np.moveaxis(self.tint_FHW2 @ directions(colours).T, -1, 0)


def directions(colours: tuple[str, ...]) -> np.ndarray:
    """(K, 2) float32 unit vectors in the plane of hues."""
    flat = np.array([COLOURS[name] for name in colours], np.float32) @ _PLANE.astype(np.float32)
    return flat / np.linalg.norm(flat, axis=1, keepdims=True)


def hues(frames_FHWC: np.ndarray) -> Hues:
    """The hues of float32 frames in [0, 1], that of the ground taken out."""
    soft = np.stack([cv2.GaussianBlur(f, (0, 0), 0.6) for f in frames_FHWC])
    light = soft.mean(-1) + _DARK
    tint = (soft @ _PLANE.astype(np.float32)) / light[..., None]
    return Hues(tint - np.median(tint[:, ::2, ::2], axis=(0, 1, 2)), light)


def find_things(seen: Hues, colours: tuple[str, ...]) -> list[Thing]:
    """The things of `colours`, the largest first."""
    out = seen.strength > COLOURED
    nearest = seen.along(colours).argmax(0)
    areas_KF = np.stack([_areas(out & (nearest == k)) for k in range(len(colours))])
    largest = np.quantile(areas_KF, 0.9, axis=1)
    least = max(9.0, SMALLEST * out[0].size, SMALL * float(largest.max()))
    there = np.flatnonzero((areas_KF >= least).mean(1) >= OFTEN)
    if not len(there):
        return []
    named = tuple(colours[k] for k in there)
    along = seen.along(named)
    nearest = along.argmax(0)
    things = [
        _thing(seen, name, along[i], out & (nearest == i), colours) for i, name in enumerate(named)
    ]
    return sorted(things, key=lambda thing: -int(thing.area_F.max()))


def _areas(mask_FHW: np.ndarray) -> np.ndarray:
    """(F,): pixels, without edges and specks."""
    kernel = np.ones((3, 3), np.uint8)
    opened = [cv2.morphologyEx(m.astype(np.uint8), cv2.MORPH_OPEN, kernel) for m in mask_FHW]
    return np.array([int(m.sum()) for m in opened])


def _thing(
    seen: Hues, name: str, along_FHW: np.ndarray, core_FHW: np.ndarray, colours: tuple[str, ...]
) -> Thing:
    """The pixels of a colour that have at least half of its usual strength."""
    usual = float(np.median(along_FHW[core_FHW]))
    chroma = along_FHW * seen.light_FHW
    near = np.stack([cv2.dilate(c, AROUND) for c in np.where(core_FHW, chroma, 0)])
    mask = core_FHW & (along_FHW > max(0.45 * usual, 0.8 * COLOURED)) & (chroma > HALF * near)
    pieces = [_pieces(m) for m in mask]
    hue = seen.tint_FHW2[core_FHW].mean(0)
    return Thing(
        name,
        _purity(hue / max(float(np.hypot(*hue)), 1e-6), name, colours),
        np.stack([m for m, _ in pieces]),
        np.array([n for _, n in pieces]),
    )


def _pieces(mask_HW: np.ndarray) -> tuple[np.ndarray, int]:
    """(the pieces of at least a sixth of the largest one's area, holes filled; how many)."""
    outer, _ = cv2.findContours(mask_HW.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    filled = np.zeros(mask_HW.shape, np.uint8)
    sizes = [cv2.contourArea(c) + len(c) / 2 for c in outer]
    kept = [c for c, s in zip(outer, sizes, strict=True) if s >= max(3.0, max(sizes) / 6)]
    cv2.drawContours(filled, kept, -1, (1.0,), cv2.FILLED)
    return filled.astype(bool), len(kept)


def _purity(hue_2: np.ndarray, name: str, colours: tuple[str, ...]) -> float:
    """1 where a hue is exactly that of `name`, 0 midway to the next or 30 degrees away."""
    angles = np.degrees(np.arccos(np.clip(directions(colours) @ hue_2, -1, 1)))
    mine = float(angles[colours.index(name)])
    others = [float(a) for n, a in zip(colours, angles, strict=True) if n != name]
    apart = 1 - mine / max(min(others, default=180.0), 1e-6)
    return float(np.clip(min(apart, 2 - mine / 15), 0, 1))
