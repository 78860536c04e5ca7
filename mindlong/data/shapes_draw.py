"""Six outlines as signed distances, drawn anti-aliased on any grid, all frames at once.

Every outline of radius r has the area of a circle of radius r, so area alone never gives a shape
away. Coordinates are pixels, (0, 0) is the centre of the first pixel, x grows to the right, y
downwards. Axes: F frames, H, W pixels.
"""

from __future__ import annotations

import numpy as np

SHAPES = ("circle", "square", "triangle", "diamond", "cross", "star")
_HALF_SQUARE = np.sqrt(np.pi) / 2
_TRIANGLE = np.sqrt(np.pi / (0.75 * np.sqrt(3)))  # circumradius
_DIAMOND = np.sqrt(np.pi / 2)
_CROSS = np.sqrt(np.pi * 9 / 20)  # half length of an arm; its half width is a third
_INNER = 0.42  # star: inner over outer radius
_STAR = np.sqrt(np.pi / (5 * _INNER * np.sin(np.pi / 5)))
# How far each outline reaches from its centre of mass, in radii: left, right, up, down.
REACH = {
    "circle": (1.0, 1.0, 1.0, 1.0),
    "square": (_HALF_SQUARE,) * 4,
    "triangle": (_TRIANGLE * np.sqrt(0.75), _TRIANGLE * np.sqrt(0.75), _TRIANGLE, _TRIANGLE / 2),
    "diamond": (_DIAMOND,) * 4,
    "cross": (_CROSS,) * 4,
    "star": (
        _STAR * np.sin(np.pi * 0.4),
        _STAR * np.sin(np.pi * 0.4),
        _STAR,
        _STAR * np.cos(np.pi * 0.2),
    ),
}


def _circle(x, y, r):
    return np.sqrt(x * x + y * y) - r


def _square(x, y, r):
    return np.maximum(np.abs(x), np.abs(y)) - _HALF_SQUARE * r


def _triangle(x, y, r):
    return np.maximum(np.sqrt(0.75) * np.abs(x) - 0.5 * y, y) - _TRIANGLE / 2 * r


def _diamond(x, y, r):
    return (np.abs(x) + np.abs(y) - _DIAMOND * r) * np.sqrt(0.5)


def _cross(x, y, r):
    x, y, a = np.abs(x), np.abs(y), _CROSS * r
    lying = np.maximum(x - a, y - a / 3)
    return np.minimum(lying, np.maximum(x - a / 3, y - a))


def _star(x, y, r):
    """Ten equal right-handed pieces: fold the plane into one and take the distance to its slanted
    edge.
    """
    angle = np.arctan2(np.abs(x), -y)
    folded = np.abs((angle + np.pi / 5) % (0.4 * np.pi) - np.pi / 5)
    rho = np.sqrt(x * x + y * y)
    u, v = rho * np.sin(folded), rho * np.cos(folded)
    edge = np.array([_INNER * np.sin(np.pi / 5), _INNER * np.cos(np.pi / 5) - 1.0])
    edge /= np.hypot(*edge)
    return -edge[1] * u + edge[0] * (v - _STAR * r)


_DISTANCE = dict(zip(SHAPES, (_circle, _square, _triangle, _diamond, _cross, _star), strict=True))


def distance(shape: str, x: np.ndarray, y: np.ndarray, radius: np.ndarray) -> np.ndarray:
    """Signed distance in pixels, negative inside, of points (x, y) relative to the centre."""
    return _DISTANCE[shape](x, y, radius)


def coverage(
    shape: str, centre_F2: np.ndarray, radius_F: np.ndarray, size: tuple[int, int]
) -> np.ndarray:
    """The share of every pixel that `shape` covers: (F, H, W) float32 in [0, 1].

    `centre_F2` is (x, y) in pixels, `radius_F` the radius of the circle of equal area, `size` (H,
    W).
    """
    height, width = size
    x_F1W = np.arange(width, dtype=np.float32) - np.asarray(centre_F2, np.float32)[:, :1, None]
    y_FH1 = (
        np.arange(height, dtype=np.float32)[:, None]
        - np.asarray(centre_F2, np.float32)[:, 1:, None]
    )
    far = distance(shape, x_F1W, y_FH1, np.asarray(radius_F, np.float32)[:, None, None])
    return np.clip(0.5 - far, 0.0, 1.0).astype(np.float32, copy=False)


def paint(background_HWC: np.ndarray, coverage_FHW: np.ndarray, rgb: np.ndarray) -> np.ndarray:
    """Lay a colour over a background (one image or one a frame): float32 (F, H, W, 3), in the
    background's units.
    """
    background = np.asarray(background_HWC, np.float32)
    return background + coverage_FHW[..., None] * (np.asarray(rgb, np.float32) - background)
