"""One thing of a film looked at: its outline, where it is, and when something nearer hides it.

Axes: F frames, K outlines, H, W pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from mindlong.data.film_camera import Camera
from mindlong.data.film_fit import Placed, cut, outline_mask, overlap, place_outlines
from mindlong.data.film_things import Thing

WHOLE = 0.85  # of its usual area, from which an object counts as not hidden
ENOUGH = 0.45  # of its usual area, from which its place is read
HIDDEN_BY = 0.12  # how much more one loses than the other, to be the one behind


@dataclass(frozen=True)
class Seen:
    """What was seen of a thing.

    Attributes:
        shape: the outline that fits best. confidence: in [0, 1].
        overlap: with that outline, median over the frames in which it is whole.
        image_F2, radius_F: NaN where too little is seen.
        visible_F: share of its usual area, the camera's zoom taken out, at most 1.
        clear_F: bool, whole. missing_F: too little is seen, and nothing hides it.
        pieces_F, other_F, poor_F: bool: in pieces; another outline is clearly better; none fits.
    """

    shape: str
    confidence: float
    overlap: float
    image_F2: np.ndarray
    radius_F: np.ndarray
    visible_F: np.ndarray
    clear_F: np.ndarray
    missing_F: np.ndarray
    pieces_F: np.ndarray
    other_F: np.ndarray
    poor_F: np.ndarray


def visible(thing: Thing, camera: Camera) -> tuple[np.ndarray, float]:
    """(share of its usual area that is seen (F,), its usual radius in pixels of frame 0)."""
    area_F = thing.area_F / camera.zoom_F**2
    usual = max(float(np.quantile(area_F, 0.8)), 1.0)
    return np.minimum(area_F / usual, 1.0), float(np.sqrt(usual / np.pi))


def front_of(things: Sequence[Thing], camera: Camera) -> str | None:
    """The colour of the one of two things that hides a part of the other; None: neither does."""
    touch_F = np.array(
        [
            not a.any() or not b.any() or bool((_grown(a, 3) & b).any())
            for a, b in zip(things[0].mask_FHW, things[1].mask_FHW, strict=True)
        ]
    )
    if not touch_F.any():
        return None
    least = [float(np.min(visible(thing, camera)[0][touch_F])) for thing in things]
    if abs(least[0] - least[1]) < HIDDEN_BY * 0.5 or min(least) > 1 - HIDDEN_BY * 0.6:
        return None
    return things[int(least[1] > least[0])].colour


def look_at(thing: Thing, others: Sequence[Thing], camera: Camera, shapes: tuple[str, ...]) -> Seen:
    """Fit the outlines of `shapes` to a thing that `others` may hide."""
    share_F, usual = visible(thing, camera)
    radius_F = usual * camera.zoom_F
    nearer = np.zeros_like(thing.mask_FHW)
    for other in others:
        nearer |= np.stack([_grown(m, 3) for m in other.mask_FHW])
    window = cut(thing.mask_FHW, nearer & ~thing.mask_FHW, float(radius_F.max()), ENOUGH * 8)
    placed = place_outlines(window, radius_F, shapes)
    read_F = window.usable_F & (share_F >= ENOUGH)
    clear_F = window.usable_F & (share_F >= WHOLE)
    judged = clear_F if clear_F.any() else np.ones_like(clear_F)
    errors = placed.error_KF[:, judged].mean(1)
    best = int(errors.argmin())
    fits_F = overlap(window, placed.drawn_KFNN[best])
    image = np.where(read_F[:, None], placed.centre_KF2[best], np.nan)
    radii = np.where(read_F, placed.radius_KF[best], np.nan)
    return Seen(
        shapes[best],
        _confidence(errors, best, float(clear_F.mean())),
        float(np.median(fits_F[judged])),
        image,
        radii,
        share_F,
        clear_F,
        ~read_F & ~_explained(image, radii, camera, nearer, shapes[best]),
        clear_F & (thing.parts_F > 1),
        clear_F & _another(placed, best),
        clear_F & (placed.error_KF[best] > 0.12),
    )


def _grown(mask_HW: np.ndarray, side: int) -> np.ndarray:
    return cv2.dilate(mask_HW.astype(np.uint8), np.ones((side, side), np.uint8)).astype(bool)


def _confidence(errors_K: np.ndarray, best: int, clear: float) -> float:
    """How sure the outline is the right one, that it is one at all, and that it was seen whole."""
    second = float(np.delete(errors_K, best).min(initial=1.0))
    own = float(errors_K[best])
    apart = np.clip((second - own) / (0.4 * own + 0.02), 0, 1)
    fits = np.clip(2 - own / 0.06, 0, 1)
    return float(min(apart, fits, np.clip(clear / 0.2, 0, 1)))


def _another(placed: Placed, best: int) -> np.ndarray:
    """bool (F,): another outline leaves clearly less."""
    least_F = placed.error_KF.min(0)
    return (least_F < 0.6 * placed.error_KF[best]) & (placed.error_KF[best] - least_F > 0.02)


def _explained(
    image_F2: np.ndarray, radius_F: np.ndarray, camera: Camera, nearer_FHW: np.ndarray, shape: str
) -> np.ndarray:
    """bool (F,): where it is not seen, something nearer covers most of the place where it would be
    by its way before and after.
    """
    seen = np.flatnonzero(~np.isnan(image_F2[:, 0]))
    if not len(seen):
        return np.zeros(len(image_F2), bool)
    times = np.arange(len(image_F2))
    scene = camera.to_scene(np.nan_to_num(image_F2))
    between = np.stack([np.interp(times, seen, scene[seen, i]) for i in range(2)], 1)
    place = _to_image(camera, between)
    size = float(np.nanmedian(radius_F / camera.zoom_F)) * camera.zoom_F
    _, height, width = nearer_FHW.shape
    would = outline_mask(shape, place, 0.8 * size, np.zeros(len(place)), (height, width))
    hidden = (would & nearer_FHW).sum((1, 2)) / np.maximum(would.sum((1, 2)), 1)
    return hidden > 0.3


def _to_image(camera: Camera, scene_F2: np.ndarray) -> np.ndarray:
    """The inverse of `camera.to_scene`."""
    turn, shift = camera.to_first_F23[:, :, :2], camera.to_first_F23[:, :, 2]
    return (np.linalg.inv(turn) @ (scene_F2 - shift)[..., None])[..., 0]
