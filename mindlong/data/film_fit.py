"""Which outline, turned how, explains an object's pixels best, where some may be hidden.

As `data.shapes_fit` by Gauss-Newton steps, with an angle, from several angles; pixels that
something nearer covers say nothing. Axes: F frames, K outlines, S starts, N the side of a window.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from mindlong.data.film_draw import turned
from mindlong.data.film_paths import FURTHEST
from mindlong.data.shapes_draw import distance

TURNS = {"circle": 0.0, "square": 90.0, "triangle": 120.0, "cross": 90.0, "star": 72.0}
STEP = 30.0  # degrees between starts
SOFT = 2.2  # pixels over which an outline is smeared, drawn and seen
STEADIES = 6.0  # how much the size that is expected counts, in pixels


@dataclass(frozen=True)
class Window:
    """Squares cut about an object: what is seen of it in [0, 1] and how much that says, (F, N, N);
    the image (x, y) of their first pixels; frames where enough is seen.
    """

    seen_FNN: np.ndarray
    weight_FNN: np.ndarray
    corner_F2: np.ndarray
    usable_F: np.ndarray


@dataclass(frozen=True)
class Placed:
    """The best placement of each outline: share of the square sum that is left (K, F), centres
    (K, F, 2), radii (K, F), angles (K, F) in radians, and the drawn outlines (K, F, N, N).
    """

    error_KF: np.ndarray
    centre_KF2: np.ndarray
    radius_KF: np.ndarray
    angle_KF: np.ndarray
    drawn_KFNN: np.ndarray


def cut(mask_FHW: np.ndarray, unknown_FHW: np.ndarray, radius: float, least: float) -> Window:
    """Cut squares about the pixels of `mask` (bool).

    Args:
        unknown_FHW: bool, pixels of which is not known what lies there.
        radius: the object's largest, pixels. least: pixels that must be seen.
    """
    half = int(np.ceil(2.1 * radius)) + 4
    soft = np.stack([cv2.GaussianBlur(m.astype(np.float32), (0, 0), 0.8) for m in mask_FHW])
    margin = ((0, 0), (half, half), (half, half))
    seen = np.pad(soft, margin)
    known = np.pad(1 - unknown_FHW.astype(np.float32), margin)
    corner, usable = [], []
    for mask in mask_FHW:
        y, x = np.nonzero(mask)
        usable.append(len(x) >= least)
        middle = (x.mean(), y.mean()) if len(x) else (mask.shape[1] / 2, mask.shape[0] / 2)
        corner.append(np.rint(middle).astype(int) - half)
    cuts = [
        np.s_[f, y + half : y + 3 * half + 1, x + half : x + 3 * half + 1]
        for f, (x, y) in enumerate(corner)
    ]
    return Window(
        np.stack([seen[c] for c in cuts]),
        np.stack([known[c] for c in cuts]),
        np.array(corner),
        np.array(usable),
    )


def place_outlines(window: Window, radius_F: np.ndarray, shapes: tuple[str, ...]) -> Placed:
    """Fit every outline to the frames that are usable; the other frames' numbers mean nothing.

    Args:
        radius_F: expected, pixels.
    """
    rows = [_place(window, radius_F, shape) for shape in shapes]
    error, place, drawn = (np.stack(part) for part in zip(*rows, strict=True))
    corner = window.corner_F2
    return Placed(error, place[..., :2] + corner, place[..., 2], place[..., 3], drawn)


def _place(
    window: Window, radius_F: np.ndarray, shape: str
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(error (F,), place (F, 4): x, y, radius, angle, drawn (F, N, N)) of one outline."""
    starts = np.radians(np.arange(0, max(TURNS[shape], 1.0), STEP))
    count, frames = len(starts), len(radius_F)
    middle = np.full((frames, 2), (window.seen_FNN.shape[1] - 1) / 2)
    first = np.concatenate([middle, radius_F[:, None], np.zeros((frames, 1))], 1)
    tried = np.tile(first, (count, 1)).astype(np.float32)
    tried[:, 3] = np.repeat(starts, frames)
    seen, weight = (np.tile(part, (count, 1, 1)) for part in (window.seen_FNN, window.weight_FNN))
    for _ in range(2 if count > 1 else 0):
        tried = _step(shape, seen, weight, tried, np.tile(radius_F, count))
    error = _error(seen, weight, _drawn(shape, tried, seen.shape[1])).reshape(count, frames)
    place = tried.reshape(count, frames, 4)[error.argmin(0), np.arange(frames)]
    for _ in range(4):
        place = _step(shape, window.seen_FNN, window.weight_FNN, place, radius_F)
    drawn = _drawn(shape, place, seen.shape[1])
    return _error(window.seen_FNN, window.weight_FNN, drawn), place, drawn


def _drawn(shape: str, place_S4: np.ndarray, side: int) -> np.ndarray:
    """(S, N, N): the outline, its edge smeared."""
    n = np.arange(side, dtype=np.float32)
    x, y = n - place_S4[:, :1, None], n[:, None] - place_S4[:, 1:2, None]
    u, v = turned(x, y, place_S4[:, 3])
    far = distance(shape, u, v, place_S4[:, 2, None, None])
    return np.clip(0.5 - far / SOFT, 0, 1).astype(np.float32, copy=False)


def _step(
    shape: str, seen: np.ndarray, weight: np.ndarray, place_S4: np.ndarray, expected_S: np.ndarray
) -> np.ndarray:
    """One Gauss-Newton step of all starts."""
    now = _drawn(shape, place_S4, seen.shape[1])
    down, along = np.gradient(now, axis=(1, 2))
    n = np.arange(seen.shape[1], dtype=np.float32)
    x, y = n - place_S4[:, :1, None], n[:, None] - place_S4[:, 1:2, None]
    radius = place_S4[:, 2]
    wider = -(along * x + down * y) / radius[:, None, None]
    turning = along * y - down * x
    flat = (len(now), 1, -1)
    slopes = np.concatenate([part.reshape(flat) for part in (-along, -down, wider, turning)], 1)
    by_weight = slopes * weight.reshape(flat)
    left = by_weight @ slopes.transpose(0, 2, 1) + 1e-2 * np.eye(4, dtype=np.float32)
    right = (by_weight @ (seen - now).reshape(flat).transpose(0, 2, 1))[..., 0]
    left[:, 2, 2] += STEADIES
    right[:, 2] += STEADIES * (expected_S - radius)
    change = np.linalg.solve(left, right[..., None])[..., 0]
    most = np.stack(
        [*(np.full_like(radius, 2.0),) * 2, 0.15 * radius, np.full_like(radius, 0.3)], 1
    )
    place = place_S4 + np.clip(change, -most, most)
    place[:, 2] = np.maximum(place[:, 2], 1.0)
    return place.astype(np.float32)


def _error(seen: np.ndarray, weight: np.ndarray, drawn: np.ndarray) -> np.ndarray:
    """(S,): what is left of the square sum, as a share of it."""
    left = ((seen - drawn) ** 2 * weight).sum((1, 2))
    return left / np.maximum((seen**2 * weight).sum((1, 2)), 1e-3)


def overlap(window: Window, drawn_FNN: np.ndarray) -> np.ndarray:
    """(F,): intersection over union of what is seen and an outline, hidden pixels left out."""
    there, ideal, known = window.seen_FNN > 0.5, drawn_FNN > 0.5, window.weight_FNN > 0
    both, either = (there & ideal & known).sum((1, 2)), ((there | ideal) & known).sum((1, 2))
    return both / np.maximum(either, 1)


def outline_mask(
    shape: str,
    centre_F2: np.ndarray,
    radius_F: np.ndarray,
    angle_F: np.ndarray,
    size: tuple[int, int],
) -> np.ndarray:
    """bool (F, H, W): the pixels that a turned outline covers more than half."""
    height, width = size
    x = np.arange(width, dtype=np.float32) - centre_F2[:, :1, None].astype(np.float32)
    y = np.arange(height, dtype=np.float32)[:, None] - centre_F2[:, 1:, None].astype(np.float32)
    reach = FURTHEST[shape] * float(np.max(radius_F)) + 1
    near = np.hypot(x, y) < reach
    u, v = turned(x, y, angle_F)
    inside = distance(shape, u, v, np.asarray(radius_F, np.float32)[:, None, None]) < 0
    return near & inside
