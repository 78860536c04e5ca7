"""An image as DynamiCrafter's embedder takes it: blurred, squashed to a square without keeping its
aspect, normalised. Recomputes kornia's `resize` to 224, bicubic, align_corners and antialias.

Legend: N images, H W pixels, S pixels of the encoder's side.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from mindlong.networks.clip.vision_spec import ClipVisionSpec

SHARP = 0.001  # the least deviation of the blur, which then is none
A = -0.75  # of the cubic


def squashed_for(frames_NHWC: np.ndarray, spec: ClipVisionSpec) -> np.ndarray:
    """uint8 (N, H, W, 3) -> float32 (N, 3, S, S), as the spec has it."""
    images = frames_NHWC.transpose(0, 3, 1, 2).astype(np.float64) / 127.5 - 1
    return normalised(squashed(images, spec.size), spec)


def normalised(images_NCHW: np.ndarray, spec: ClipVisionSpec) -> np.ndarray:
    """Images in [-1, 1] as the encoder reads them, float32."""
    mean, deviation = (np.array(values)[:, None, None] for values in (spec.mean, spec.deviation))
    return (((images_NCHW + 1) / 2 - mean) / deviation).astype(np.float32)


def squashed(images_NCHW: np.ndarray, size: int) -> np.ndarray:
    """float64 (N, C, H, W) -> (N, C, S, S); values may overshoot."""
    sides = images_NCHW.shape[2:]
    if max(sides) > size:
        for axis, side in zip((2, 3), sides, strict=True):
            images_NCHW = _blurred(images_NCHW, axis, side / size)
    for axis in (2, 3):
        images_NCHW = _resized(images_NCHW, axis, size)
    return images_NCHW


def _blurred(x: np.ndarray, axis: int, factor: float) -> np.ndarray:
    """A Gaussian along one axis, the border mirrored without repeating its pixel."""
    deviation = max((factor - 1) / 2, SHARP)
    length = int(max(4 * deviation, 3))
    half = length // 2  # an even length is made one longer
    places = np.arange(-half, half + 1)
    weights = np.exp(-(places**2) / (2 * deviation**2))
    weights /= weights.sum()
    pads = [(half, half) if a == axis else (0, 0) for a in range(x.ndim)]
    padded, side = np.pad(x, pads, mode="reflect"), x.shape[axis]
    return sum(
        weight * np.take(padded, range(start, start + side), axis)
        for start, weight in enumerate(weights)
    )


def _resized(x: np.ndarray, axis: int, size: int) -> np.ndarray:
    """Bicubic along one axis, the corners' pixels at the corners, indices held at the border."""
    side = x.shape[axis]
    at = np.arange(size) * ((side - 1) / (size - 1))
    first = np.floor(at).astype(int)
    matrix = np.zeros((size, side))
    for tap in range(-1, 3):
        places = np.clip(first + tap, 0, side - 1)
        np.add.at(matrix, (np.arange(size), places), _cubic(np.abs(at - first - tap)))
    return np.moveaxis(np.tensordot(matrix, x, (1, axis)), 0, axis)


def _cubic(d: np.ndarray) -> np.ndarray:
    """The weight of a pixel at distance `d`, below 2."""
    near = (A + 2) * d**3 - (A + 3) * d**2 + 1
    far = A * d**3 - 5 * A * d**2 + 8 * A * d - 4 * A
    return np.where(d <= 1, near, np.where(d < 2, far, 0.0))
