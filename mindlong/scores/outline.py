"""How near an object's pixels come to the ideal outline, and how still the background is: what the
eye sees first and no verdict of the reader says. Axes: F frames, H, W pixels, C channels.
"""

from __future__ import annotations

import cv2
import numpy as np

from mindlong.data.shapes_draw import coverage
from mindlong.data.shapes_fit import coverage_map, find
from mindlong.data.shapes_reader import Reading

STRETCH = 512  # frames looked at together: memory is theirs, whatever the length
AROUND = np.ones((7, 7), np.uint8)  # pixels about the object that are not background


def overlap(frames_FHWC: np.ndarray, reading: Reading) -> float:
    """Intersection over union of the object and its ideal outline, the median of the frames.

    The object: pixels that lie nearer to its colour than to the background's. The ideal: the
    outline that was read, drawn at the position and of the size that were read. 0 where nothing
    was read.

    Args:
        frames_FHWC: uint8 (F, H, W, 3), what `reading` was read from.
    """
    if reading.shape is None:
        return 0.0
    evidence = find(np.asarray(frames_FHWC, np.float32) / 255)
    colour = np.nanmedian(evidence.colour_FC, axis=0)
    there = coverage_map(evidence, colour) > 0.5
    place, radius = np.nan_to_num(reading.position_F2), np.nan_to_num(reading.radius_F)
    _, height, width = there.shape
    ideal = coverage(reading.shape, place, np.maximum(radius, 0.1), (height, width)) > 0.5
    both, either = (there & ideal).sum((1, 2)), (there | ideal).sum((1, 2))
    return float(np.median(both / np.maximum(either, 1)))


def background_change(frames_FHWC: np.ndarray) -> float:
    """Mean change of a background pixel's channel from frame to frame, of 255, the median of the
    frames; 0 in the plain world itself and for one frame. Pixels within 3 of the object, in either
    frame, are left out.
    """
    frames = np.asarray(frames_FHWC)
    if len(frames) < 2:
        return 0.0
    starts = range(0, len(frames) - 1, STRETCH)
    return float(np.median(np.concatenate([_changes(frames[s : s + STRETCH + 1]) for s in starts])))


def _changes(frames: np.ndarray) -> np.ndarray:
    """(F - 1,): mean change of a background pixel from frame to frame."""
    mask = find(frames.astype(np.float32) / 255).mask_FHW.astype(np.uint8)
    free = np.stack([cv2.dilate(m, AROUND) for m in mask]) == 0
    both = free[1:] & free[:-1]
    change = np.abs(np.diff(frames.astype(np.float32), axis=0)).mean(-1)
    return (change * both).sum((1, 2)) / np.maximum(both.sum((1, 2)), 1)
