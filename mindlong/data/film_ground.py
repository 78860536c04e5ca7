"""The ground of a film: a large textured image, nearly grey, that repeats without a seam and is
seen through a moving camera; shadows on it. Axes: F frames, H, W pixels, C channels.
"""

from __future__ import annotations

import cv2
import numpy as np

from mindlong.data.film_paths import CameraPath, middle

GROUNDS = ("clouds", "tiles", "planks", "grains")
CELLS = (5, 10, 20, 40)  # of the noise, along a side of the ground
_WEIGHTS = {
    "clouds": (0.5, 0.8, 0.6, 0.3),
    "tiles": (0.3, 0.4, 0.5, 0.3),
    "planks": (0.3, 0.4, 0.5, 0.4),
    "grains": (0.2, 0.3, 0.7, 0.9),
}
DARKEST, LIGHTEST = 22.0, 165.0
TINT = 7.0  # most that a channel of a tone lies off grey, of 255
SHADE = 0.45  # how much of the light a shadow takes


def make_ground(draw: np.random.Generator, kind: str, side: int) -> np.ndarray:
    """(T, T, 3) float32 in 0..255, T about 2.5 times `side`, the shorter side of the image; it goes
    on at its other side where it ends.
    """
    extent = 40 * max(2, round(2.5 * side / 40))
    noise = sum(
        weight * _noise(draw, cells, extent)
        for cells, weight in zip(CELLS, _WEIGHTS[kind], strict=True)
    )
    height = np.tanh(1.6 * noise) + _pattern(draw, kind, extent)
    height = (height - height.min()) / max(float(np.ptp(height)), 1e-6)
    low, high = draw.uniform(DARKEST, 55), draw.uniform(105, LIGHTEST)
    tints = draw.uniform(-TINT, TINT, (2, 3))
    tones = np.array([[low], [high]]) + tints - tints.mean(1, keepdims=True)
    return (tones[0] + height[..., None] * (tones[1] - tones[0])).astype(np.float32)


def _noise(draw: np.random.Generator, cells: int, extent: int) -> np.ndarray:
    """(extent, extent) of smooth noise that repeats; `cells` divides `extent`."""
    grid = np.pad(draw.uniform(-1, 1, (cells, cells)), 2, mode="wrap").astype(np.float32)
    cell = extent // cells
    large = cv2.resize(grid, None, fx=cell, fy=cell, interpolation=cv2.INTER_CUBIC)
    return large[2 * cell : -2 * cell, 2 * cell : -2 * cell]


def _pattern(draw: np.random.Generator, kind: str, extent: int) -> np.ndarray | float:
    """Joints between tiles or planks; 0 for grounds without."""
    if kind not in ("tiles", "planks"):
        return 0.0
    count = int(draw.integers(5, 9))
    turns = 2 * np.pi * count * np.arange(extent) / extent
    joint = np.clip(6 * (np.abs(np.sin(turns / 2 * 2)) - 0.35), -1, 0)
    lying = np.broadcast_to(joint[:, None], (extent, extent))
    if kind == "planks":
        return 0.7 * lying if draw.random() < 0.5 else 0.7 * lying.T
    return 0.8 * np.minimum(lying, lying.T)


def see_ground(ground_TTC: np.ndarray, camera: CameraPath, size: tuple[int, int]) -> np.ndarray:
    """(F, H, W, 3) float32 in 0..255: the ground through the camera."""
    height, width = size
    half = middle(size)
    seen = np.empty((len(camera.zoom_F), height, width, 3), np.float32)
    for f, (centre, zoom) in enumerate(zip(camera.centre_F2, camera.zoom_F, strict=True)):
        shift = centre - half / zoom + len(ground_TTC) / 2
        matrix = np.array([[1 / zoom, 0, shift[0]], [0, 1 / zoom, shift[1]]])
        cv2.warpAffine(
            ground_TTC,
            matrix,
            (width, height),
            dst=seen[f],
            flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_WRAP,
        )
    return np.clip(seen, 0, 255, out=seen)


def cast(cover_FHW: np.ndarray, frames_FHWC: np.ndarray, offset_F2: np.ndarray) -> None:
    """Darken float32 frames, in place, by the soft shadow of what covers them.

    Args:
        offset_F2: (x, y) in pixels from the object to its shadow.
    """
    _, height, width = cover_FHW.shape
    for f, (x, y) in enumerate(offset_F2):
        matrix = np.array([[1.0, 0.0, x], [0.0, 1.0, y]])
        moved = cv2.warpAffine(cover_FHW[f], matrix, (width, height))
        soft = cv2.GaussianBlur(moved, (0, 0), max(1.0, 0.3 * float(np.hypot(x, y))))
        frames_FHWC[f] *= (1 - SHADE * soft)[..., None]
