"""Objects that look solid: outlines that turn, a texture that turns with them, light that does not.

Chroma is kept: texture and shading scale a colour or mix it with white, so that the direction of a
pixel's colour from grey is its object's, which is how `data.film_reader` knows it again. Axes: F
frames, N the side of a square about the object, C channels.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from mindlong.data.film_paths import FURTHEST
from mindlong.data.shapes_draw import distance

TEXTURES = ("plain", "stripes", "checks", "dots", "noise")
AMBIENT, DIFFUSE = 0.55, 0.55
GLOSS, SHARPNESS = 70.0, 20  # highlight of 255, exponent
DOME, RIM = 0.45, 0.55  # how far the surface leans in the middle and at the edge
PALE = 0.22  # share of white in the lighter parts of a texture
DARK = 0.55  # of the colour in its darker parts


Square = tuple[slice, slice]


@dataclass(frozen=True)
class Look:
    """How an object is made: its outline, RGB (3,) in 0..255, texture and the texture's draw."""

    shape: str
    rgb_C: np.ndarray
    texture: str
    waves: np.ndarray  # (4,) in [0, 1)
    grain: np.ndarray  # (8, 8) in [0, 1]


@dataclass(frozen=True)
class Patch:
    """A drawn object: `corner_F2` the (x, y) of its square's first pixel, colours (F, N, N, C) and
    coverage (F, N, N), float32.
    """

    corner_F2: np.ndarray
    colour_FNNC: np.ndarray
    cover_FNN: np.ndarray

    def spread(self, size: tuple[int, int]) -> np.ndarray:
        """The coverage of a whole image (F, H, W)."""
        whole = np.zeros((len(self.corner_F2), *size), np.float32)
        for f, (into, out) in enumerate(self.places(size)):
            whole[f][into] = self.cover_FNN[f][out]
        return whole

    def lay(self, frames_FHWC: np.ndarray) -> None:
        """Paint the object over float32 frames, in place."""
        _, height, width, _ = frames_FHWC.shape
        for f, (into, out) in enumerate(self.places((height, width))):
            under, share = frames_FHWC[f][into], self.cover_FNN[f][out][..., None]
            under += share * (self.colour_FNNC[f][out] - under)

    def places(self, size: tuple[int, int]) -> list[tuple[Square, Square]]:
        """Of every frame: the part of an image of `size` that the square covers, and of the
        square the part inside the image.
        """
        side = self.cover_FNN.shape[1]
        found = []
        for x, y in self.corner_F2:
            top, bottom = max(y, 0), max(min(y + side, size[0]), 0)
            left, right = max(x, 0), max(min(x + side, size[1]), 0)
            into = np.s_[top:bottom, left:right]
            found.append((into, np.s_[top - y : bottom - y, left - x : right - x]))
        return found


def turned(x: np.ndarray, y: np.ndarray, angle_F: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Image offsets (F, N, N) in the frame of an object turned by `angle_F` radians, clockwise as
    seen.
    """
    cos, sin = (
        part.astype(np.float32)[:, None, None] for part in (np.cos(angle_F), np.sin(angle_F))
    )
    return cos * x + sin * y, cos * y - sin * x


def draw_object(
    look: Look,
    centre_F2: np.ndarray,
    radius_F: np.ndarray,
    angle_F: np.ndarray,
    light_3: np.ndarray,
) -> Patch:
    """Draw an object.

    Args:
        centre_F2: (x, y) in pixels. radius_F: of the circle of equal area, pixels.
        angle_F: radians.
        light_3: unit vector towards the light, (x, y, towards the camera).
    """
    half = int(np.ceil(FURTHEST[look.shape] * float(np.max(radius_F)))) + 2
    corner = np.floor(centre_F2).astype(int) - half
    n = np.arange(2 * half + 2, dtype=np.float32)
    offset = (centre_F2 - corner).astype(np.float32)
    x, y = n - offset[:, :1, None], n[:, None] - offset[:, 1:, None]
    radius = np.asarray(radius_F, np.float32)[:, None, None]
    u, v = turned(x, y, angle_F)
    far = distance(look.shape, u, v, radius).astype(np.float32, copy=False)
    cover = np.clip(0.5 - far, 0, 1)
    tone = _texture(look, u / radius, v / radius)
    shade, shine = _light(x / radius, y / radius, far, radius, light_3)
    pale, dark = PALE * tone, 1 - (1 - DARK) * (1 - tone)
    plain = look.rgb_C.astype(np.float32) * ((1 - pale) * dark * shade)[..., None]
    white = 255 * pale * shade + GLOSS * shine
    colour = plain + white[..., None]
    colour *= np.minimum(1, 255 / np.maximum(colour.max(-1, keepdims=True), 1))
    return Patch(corner, colour, cover)


def _texture(look: Look, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """How light the surface is, in [0, 1], at (u, v) in radii."""
    rate = 3.2 + 2.2 * look.waves[0]
    phase = 2 * np.pi * look.waves[1:3]
    if look.texture == "stripes":
        return _edge(np.sin(rate * 1.2 * u + phase[0]))
    if look.texture == "checks":
        return _edge(np.sin(rate * u + phase[0]) * np.sin(rate * v + phase[1]))
    if look.texture == "dots":
        round_ = np.cos(rate * u + phase[0]) + np.cos(rate * v + phase[1])
        return _edge(round_ - 0.8)
    if look.texture == "noise":
        return _noise(look.grain, u, v)
    return np.full_like(u, 0.5 + 0.5 * look.waves[3])


def _edge(wave: np.ndarray) -> np.ndarray:
    """A wave with steep sides, in [0, 1]."""
    return np.clip(0.5 + 2.0 * wave, 0, 1).astype(np.float32, copy=False)


def _noise(grain: np.ndarray, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """The grain read as a smooth image of four radii a side."""
    scale = len(grain) / 4.0
    tall = (-1, u.shape[-1])
    found = cv2.remap(
        grain.astype(np.float32),
        (u * scale + 3.5).reshape(tall).astype(np.float32),
        (v * scale + 3.5).reshape(tall).astype(np.float32),
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REFLECT_101,
    )
    return found.reshape(u.shape)


def _light(
    x: np.ndarray, y: np.ndarray, far: np.ndarray, radius: np.ndarray, light_3: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """(brightness, highlight in [0, 1]) of a dome with a rounded rim; `far` is the distance from
    the outline.
    """
    rim = RIM * np.clip(1 + far / (0.4 * radius), 0, 1) ** 2
    down, along = np.gradient(far, axis=(1, 2))
    lean_x, lean_y = DOME * x + rim * along, DOME * y + rim * down
    length = np.maximum(lean_x * lean_x + lean_y * lean_y + 1, 1) ** 0.5
    facing = (lean_x * light_3[0] + lean_y * light_3[1] + light_3[2]) / length
    half = light_3 + np.array([0.0, 0.0, 1.0])
    half = half / np.linalg.norm(half)
    glance = (lean_x * half[0] + lean_y * half[1] + half[2]) / length
    shade = AMBIENT + DIFFUSE * np.maximum(facing, 0)
    shine = np.maximum(glance, 0) ** SHARPNESS
    return shade.astype(np.float32, copy=False), shine.astype(np.float32, copy=False)
