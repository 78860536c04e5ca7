"""Less flicker: every pixel averaged over the frames around it in which it shows the same.

A bilateral filter along time (Tomasi and Manduchi 1998), causal in nothing: frames before and after
count alike, and the less the more their pixel and its neighbours differ. What moves differs by more
than what flickers and stays as it is.

Legend: F frames held, H W pixels, C channels; frames uint8 RGB.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator

import cv2
import numpy as np

AROUND = 3  # pixels: the sides of the square over which a difference is averaged
APART = 6.0  # of 255: a frame whose pixel differs by so much counts exp(-1) of one that does not


def deflickered(frames: Iterable[np.ndarray], reach: int) -> Iterator[np.ndarray]:
    """The same number of frames, each averaged with up to `reach` before it and after it.

    Args:
        frames: of one size; 2 `reach` + 1 of them are held.
        reach: 0 changes nothing.
    """
    if not reach:
        yield from frames
        return
    held: deque[np.ndarray] = deque(maxlen=2 * reach + 1)
    coming = iter(frames)
    for frame in coming:
        held.append(frame)
        if len(held) > reach:
            yield _mean(held, len(held) - 1 - reach)
    for place in range(max(len(held) - reach, 0), len(held)):
        yield _mean(list(held)[max(place - reach, 0) :], min(place, reach))


def _mean(frames: Iterable[np.ndarray], place: int) -> np.ndarray:
    """Frame `place`, averaged with the others."""
    held = [frame.astype(np.float32) for frame in frames]
    total = np.zeros_like(held[0])
    weights = np.zeros((*held[0].shape[:2], 1), np.float32)
    for other in held:
        apart = cv2.blur(np.abs(other - held[place]).max(-1), (AROUND, AROUND))
        weight = np.exp(-((apart / APART) ** 2))[..., None]
        total += weight * other
        weights += weight
    return np.rint(total / weights).astype(np.uint8)
