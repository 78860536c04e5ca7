"""Two guesses that know nothing of each other: a network's frames, and optical flow's.

Where both show the same, flow is right too, and its pixels are those of the given frames, which no
autoencoder has softened. Where they differ, flow has most likely lost its way, and the network's
pixels stay.

Legend: H W pixels, C channels; frames uint8 RGB.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import cv2
import numpy as np

from mindlong.data.flow import fill_between, warp_flow

AROUND = 5  # pixels: the sides of the square over which a difference is averaged
APART = 20.0  # of 255: where the two differ by so much, flow's pixel counts exp(-1)


def agreed(made_HWC: np.ndarray, flow_HWC: np.ndarray) -> np.ndarray:
    """Flow's pixels where the two frames agree, those of `made_HWC` where they do not, smoothly."""
    made, flow = made_HWC.astype(np.float32), flow_HWC.astype(np.float32)
    apart = cv2.blur(np.abs(made - flow).max(-1), (AROUND, AROUND))
    weight = np.exp(-((apart / APART) ** 2))[..., None]
    return np.rint(weight * flow + (1 - weight) * made).astype(np.uint8)


def with_flow(
    frames: Iterable[np.ndarray], keys: Iterable[np.ndarray], factor: int
) -> Iterator[np.ndarray]:
    """A network's frames with what flow between the given ones adds; two of these are held.

    Args:
        frames: all, from the first given one on; there may be fewer than the keys reach.
        keys: the given frames as they are, of the same size; they take the network's place.
        factor: every so many-th frame is a given one.

    Raises:
        InputFileError: fewer than two given frames, or of different sizes.
    """
    filled = fill_between(keys, factor, warp_flow)
    for place, (made, flow) in enumerate(zip(frames, filled, strict=False)):
        yield agreed(made, flow) if place % factor else flow
