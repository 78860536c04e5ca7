"""Which timestep a training sample gets."""

from __future__ import annotations

import numpy as np


def draw_timestep(draw: np.random.Generator, timesteps: int, shift: float = 1.0) -> int:
    """A timestep in [0, timesteps): uniform, or with `shift` above 1 oftener a noisy one.

    A uniform u becomes shift u / (1 + (shift - 1) u), the shift for larger images of arXiv
    2403.03206 (equation 23). A video's frames repeat one another, so that what a caption says of
    all of them is still to be seen where a single image is lost in noise; only the noisiest
    timesteps teach a network to ask the caption.
    """
    if shift == 1.0:
        return int(draw.integers(timesteps))
    u = draw.random()
    return int(shift * u / (1.0 + (shift - 1.0) * u) * timesteps)
