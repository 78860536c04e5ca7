"""How the camera moved, seen in the ground alone: every frame is laid over the one before, and,
as long as it shows enough of the same ground, over one frame for all, so that errors do not add up.

OpenCV's ECC (Evangelidis and Psarakis, 2008) with an affine map, begun at the shift that phase
correlation finds. Objects are masked. Axes: F frames, H, W pixels.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from mindlong.data.film_captions import PANS

ITERATIONS = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 60, 1e-5)
SMOOTHING = 5  # pixels, of the images that are compared
SHADOW = 0.08  # of the shorter side: how far about a thing its shadow may lie, which moves with it
HOLDS = 0.55  # correlation of a ground with itself a frame later, from which it is believed
SAME = 0.9  # correlation from which two frames surely show the same ground
SHARED = 0.3  # least share of an image that both show
NEAR = 0.08  # of the shorter side: how far the corners may lie from where step by step leads
PANS_FROM = 0.05  # shares of the shorter side, over the whole clip
ZOOMS_FROM = 0.07  # of the logarithm of the magnification, over the whole clip


@dataclass(frozen=True)
class Camera:
    """What was seen of the camera.

    Attributes:
        to_first_F23: affine maps from pixels of a frame to those of frame 0.
        agreement_F: correlation of the ground with that of the frame before; 1 in frame 0.
        centre_F2: where the camera looks at, (x, y) in pixels of frame 0.
        zoom_F: magnification against frame 0.
        pan, zoom: names, None where it does not.
        confidence: in [0, 1].
    """

    to_first_F23: np.ndarray
    agreement_F: np.ndarray
    centre_F2: np.ndarray
    zoom_F: np.ndarray
    pan: str | None
    zoom: str | None
    confidence: float

    def to_scene(self, image_F2: np.ndarray) -> np.ndarray:
        """Positions (F, 2) in pixels of frame 0, as if the camera had stood still."""
        return (self.to_first_F23[:, :, :2] @ image_F2[..., None])[..., 0] + self.to_first_F23[
            :, :, 2
        ]

    @property
    def holds(self) -> np.ndarray:
        """bool (F,): the ground is the one of the frame before."""
        return self.agreement_F > HOLDS


def see_camera(frames_FHWC: np.ndarray, thing_FHW: np.ndarray) -> Camera:
    """Follow the ground of float32 frames in [0, 1] past the things that are masked (bool)."""
    grey = frames_FHWC.mean(-1).astype(np.float32)
    side = 2 * round(SHADOW * min(grey.shape[1:])) + 1
    about = np.ones((side, side), np.uint8)
    near = np.stack([cv2.dilate(m.astype(np.uint8), about) for m in thing_FHW])
    maps, agreement = [np.eye(2, 3)], [1.0]
    step, key = np.eye(2, 3, dtype=np.float32), 0
    for now in range(1, len(grey)):
        free = 1 - np.maximum(near[now], near[now - 1])
        step, found = _aligned(grey[now], grey[now - 1], free, step)
        agreement.append(found)
        guess = _after(_inverse(maps[key]), _after(maps[-1], step))
        to_key = _refined(grey[now], grey[key], 1 - near[now], 1 - near[key], guess)
        maps.append(_after(maps[-1], step) if to_key is None else _after(maps[key], to_key))
        key = now if to_key is None else key
    return _named(np.stack(maps), np.array(agreement), grey.shape[1:])


def ground_change(frames_FHWC: np.ndarray, thing_FHW: np.ndarray, camera: Camera) -> float:
    """Mean change of a ground pixel's channel from frame to frame, of 255, the camera's motion
    taken out, the median of the frames; 0 for one frame.
    """
    height, width = frames_FHWC.shape[1:3]
    inside = np.ones((height, width), np.float32)
    found = []
    for now in range(1, len(frames_FHWC)):
        whole = _whole(camera.to_first_F23[now - 1 : now + 1])
        back = (np.linalg.inv(whole[0]) @ whole[1])[:2]
        flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
        was = cv2.warpAffine(frames_FHWC[now - 1], back, (width, height), flags=flags)
        hidden = np.maximum(thing_FHW[now], thing_FHW[now - 1]).astype(np.uint8)
        free = cv2.dilate(hidden, np.ones((7, 7), np.uint8)) == 0
        free &= cv2.warpAffine(inside, back, (width, height), flags=flags) > 0.99
        change = np.abs(frames_FHWC[now] - was).mean(-1)
        found.append(255 * float(change[free].mean()) if free.any() else 0.0)
    return float(np.median(found)) if found else 0.0


def _refined(
    now_HW: np.ndarray,
    key_HW: np.ndarray,
    free_HW: np.ndarray,
    key_free: np.ndarray,
    guess_23: np.ndarray,
) -> np.ndarray | None:
    """The map from pixels of `now` to those of a frame long before, near a guess; None where they
    share too little.
    """
    size = now_HW.shape[::-1]
    free = key_free * cv2.warpAffine(free_HW, guess_23, size, flags=cv2.INTER_NEAREST)
    if free.mean() < SHARED:
        return None
    found, agreement = _ecc(now_HW, key_HW, free, guess_23)
    corners = np.array([[0.0, 0, size[0], size[0]], [0, size[1], 0, size[1]], [1, 1, 1, 1]])
    far = np.linalg.norm((found - guess_23) @ corners, axis=0).max()
    return found if agreement > SAME and far < NEAR * min(size) else None


def _aligned(
    now_HW: np.ndarray, before_HW: np.ndarray, free_HW: np.ndarray, guess_23: np.ndarray
) -> tuple[np.ndarray, float]:
    """(the map from pixels of `now` to those of `before`, correlation); the better start's."""
    shift, _ = cv2.phaseCorrelate(
        _hidden(now_HW, free_HW), _hidden(before_HW, free_HW), _window(now_HW.shape)
    )
    starts = [guess_23, np.array([[1, 0, shift[0]], [0, 1, shift[1]]], np.float32)]
    first = _ecc(now_HW, before_HW, free_HW, starts[0])
    if first[1] > SAME:
        return first
    return max(first, _ecc(now_HW, before_HW, free_HW, starts[1]), key=lambda found: found[1])


def _ecc(
    now_HW: np.ndarray, before_HW: np.ndarray, free_HW: np.ndarray, start_23: np.ndarray
) -> tuple[np.ndarray, float]:
    """As `_aligned`; no correlation where none is found."""
    try:
        found, step = cv2.findTransformECC(
            now_HW,
            before_HW,
            start_23.astype(np.float32).copy(),
            cv2.MOTION_AFFINE,
            ITERATIONS,
            free_HW,
            SMOOTHING,
        )
    except cv2.error:  # it does not converge, or there is nothing to compare
        return start_23, 0.0
    sound = np.isfinite(step).all() and 0.5 < np.linalg.det(step[:, :2]) < 2
    return (step, float(found)) if sound else (start_23, 0.0)


def _hidden(grey_HW: np.ndarray, free_HW: np.ndarray) -> np.ndarray:
    """The image with its mean where things are."""
    level = float(grey_HW[free_HW > 0].mean()) if free_HW.any() else 0.0
    return np.where(free_HW > 0, grey_HW - level, 0).astype(np.float32)


def _window(size: tuple[int, ...]) -> np.ndarray:
    return cv2.createHanningWindow((size[1], size[0]), cv2.CV_32F)


def _whole(map_F23: np.ndarray) -> np.ndarray:
    """(F, 3, 3)."""
    last = np.broadcast_to(np.array([0.0, 0.0, 1.0]), (len(map_F23), 1, 3))
    return np.concatenate([map_F23, last], 1)


def _inverse(map_23: np.ndarray) -> np.ndarray:
    return np.linalg.inv(_whole(map_23[None])[0])[:2]


def _after(first_23: np.ndarray, then_23: np.ndarray) -> np.ndarray:
    both = _whole(np.stack([first_23, then_23]))
    return (both[0] @ both[1])[:2]


def _named(maps_F23: np.ndarray, agreement_F: np.ndarray, size: tuple[int, ...]) -> Camera:
    """Name pan and zoom by where the clip ends."""
    middle = (np.array(size[::-1]) - 1) / 2
    centre = maps_F23[:, :, :2] @ middle + maps_F23[:, :, 2]
    zoom_F = 1 / np.sqrt(np.abs(np.linalg.det(maps_F23[:, :, :2])))
    way = (centre[-1] - centre[0]) / min(size)
    depth = float(np.log(zoom_F[-1]))
    along = {name: float(np.dot(heading, way)) for name, heading in PANS.items()}
    pan = max(along, key=lambda name: along[name])
    length = float(np.hypot(*way))
    pans = length > PANS_FROM
    straight = np.clip(3 * along[pan] / length - 1.5, 0, 1) if pans else 1.0
    held = np.clip((agreement_F.min() - HOLDS) / 0.15 + 0.5, 0, 1)
    return Camera(
        maps_F23,
        agreement_F,
        centre,
        zoom_F,
        pan if pans else None,
        ("in" if depth > 0 else "out") if abs(depth) > ZOOMS_FROM else None,
        float(min(straight, held)),
    )
