"""Frames to the size wanted: resize until the image covers it, crop, mirror; one choice for a
whole clip.

Resizing is Pillow's antialiased bilinear filter and the centre is rounded half to even, so a square
target gives the very pixels of torchvision's Resize and CenterCrop, which video-diffusion-pytorch
uses.
"""

from __future__ import annotations

import numpy as np
from PIL import Image


def covering_size(size: tuple[int, int], wanted: tuple[int, int]) -> tuple[int, int]:
    """The smallest (height, width) in the proportions of `size` that covers `wanted`; long sides
    are cut to whole pixels.
    """
    height, width = size
    if height * wanted[1] <= width * wanted[0]:
        return wanted[0], max(int(wanted[0] * width / height), wanted[1])
    return max(int(wanted[1] * height / width), wanted[0]), wanted[1]


def resize(frame_HWC: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """One uint8 frame (H, W, 3) at (height, width) `size`."""
    if frame_HWC.shape[:2] == size:
        return frame_HWC
    return np.asarray(Image.fromarray(frame_HWC).resize(size[::-1], Image.Resampling.BILINEAR))


def corner(
    size: tuple[int, int], wanted: tuple[int, int], place: tuple[float, float] | None
) -> tuple[int, int]:
    """(top, left) of the crop: the centre, or where `place` in [0, 1) of both directions says."""
    spare = size[0] - wanted[0], size[1] - wanted[1]
    if place is None:
        return round(spare[0] / 2), round(spare[1] / 2)
    return int(place[0] * (spare[0] + 1)), int(place[1] * (spare[1] + 1))


def crop(
    frames_FHWC: np.ndarray,
    wanted: tuple[int, int],
    place: tuple[float, float] | None = None,
    flip: bool = False,
) -> np.ndarray:
    """Cut (F, height, width, C) out of every frame at the same place; `flip` mirrors left and
    right.
    """
    _, height, width, _ = frames_FHWC.shape
    top, left = corner((height, width), wanted, place)
    cut = frames_FHWC[:, top : top + wanted[0], left : left + wanted[1]]
    return np.ascontiguousarray(cut[:, :, ::-1] if flip else cut)


def fitted(frame_HWC: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """A frame at (height, width) `size`: resized until it covers it, its middle cut out."""
    height, width = frame_HWC.shape[:2]
    covering = resize(frame_HWC, covering_size((height, width), size))
    return crop(covering[None], size)[0]
