"""What is done to the frames that a run made, so that it does not show where it joins others.

Legend: B runs of a batch, C channels, F frames of a run, h w latent pixels.
"""

from __future__ import annotations

import numpy as np

NEAR = 4  # made frames that tell what the network would have of a known one


def free(made_BCFHW: np.ndarray, clean_BCFHW: np.ndarray, known_BF: np.ndarray) -> np.ndarray:
    """The frames as they were made."""
    return made_BCFHW


def toned(made_BCFHW: np.ndarray, clean_BCFHW: np.ndarray, known_BF: np.ndarray) -> np.ndarray:
    """Each latent channel's mean drawn to a line through the means of the known frames (level
    before the first and behind the last); runs that know none stay as they were.
    """
    out, numbers = made_BCFHW.copy(), np.arange(known_BF.shape[1])
    for row, places in enumerate(map(np.flatnonzero, known_BF)):
        if not len(places):
            continue
        for channel, held in enumerate(clean_BCFHW[row, :, places].mean(axis=(2, 3)).T):
            line = np.interp(numbers, places, held)
            frames = out[row, channel]
            frames += (line - frames.mean(axis=(1, 2)))[:, None, None]
    return out


def faded(made_BCFHW: np.ndarray, clean_BCFHW: np.ndarray, known_BF: np.ndarray) -> np.ndarray:
    """What the known frames have and the frames made beside them lead up to without, faded out from
    one known frame to the next: a line through the NEAR frames next to a known one says what it
    would be, and the difference is spread over the gap.
    """
    out = made_BCFHW.copy()
    for row, places in enumerate(map(np.flatnonzero, known_BF)):
        for a, b in zip(places, places[1:], strict=False):
            count = b - a - 1
            if not count:
                continue
            gap = made_BCFHW[row, :, a + 1 : b]
            left = clean_BCFHW[row, :, a] - _led(gap)
            right = clean_BCFHW[row, :, b] - _led(gap[:, ::-1])
            share = (np.arange(1, count + 1, dtype=np.float32) / (b - a))[:, None, None]
            out[row, :, a + 1 : b] += left[:, None] * (1 - share) + right[:, None] * share
    return out


def _led(gap_CFHW: np.ndarray) -> np.ndarray:
    """What the first frames lead back to, one frame before them: (C, h, w)."""
    near = min(NEAR, gap_CFHW.shape[1])
    places = np.arange(1, near + 1)
    terms = np.stack([np.ones(near), places], 1)[:, : min(near, 2)]
    weights = np.linalg.pinv(terms)[0].astype(np.float32)
    return np.tensordot(gap_CFHW[:, :near], weights, (1, 0))


SEAMS = {"free": free, "tone": toned, "fade": faded}
