"""Noise whose lowest frequencies in space all frames of a video have in common: what a network
makes of them, a background's tint above all, then does not change from frame to frame. Near to the
mixed noise of PYoCo (arXiv 2305.10474), which shares all frequencies in part; here each frame alone
is standard normal noise, as in training. Without MindSpore.

Legend: C channels of a latent, F frames, h w latent pixels.
"""

from __future__ import annotations

import numpy as np

from mindlong.utils import rng

ROUNDING = 1e-9  # 3/20 and 0.3/2 are not the same float


def share_low(noise_CFhw: np.ndarray, share: float, seed: int, number: int = 0) -> np.ndarray:
    """`noise_CFhw` with its frequencies up to `share` of the highest, in each direction, taken from
    noise that belongs to (seed, number) and to no frame; float32. 0 changes nothing; the smallest
    number above takes the mean alone, 1 everything.
    """
    if not share:
        return noise_CFhw
    channels, _, height, width = noise_CFhw.shape
    common_C1hw = rng.normal((channels, 1, height, width), seed, "shared", number)
    low_hw = _is_low(height, share)[:, None] & _is_low(width, share)
    made = np.empty_like(noise_CFhw, np.float32)
    for frame in range(noise_CFhw.shape[1]):  # a spectrum takes several times a frame's memory
        noise = noise_CFhw[:, frame]
        change = np.fft.ifft2(np.fft.fft2(common_C1hw[:, 0] - noise) * low_hw).real
        made[:, frame] = noise + change
    return made


def _is_low(length: int, share: float) -> np.ndarray:
    return np.abs(np.fft.fftfreq(length)) <= share / 2 + ROUNDING
