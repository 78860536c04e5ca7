"""A network asked for windows of a video, whose predictions are averaged: a model for a sampler.

Legend: B videos, C channels of a latent, F frames, h w latent pixels, S tokens, D their width.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from mindlong.diffusion.guidance import Model
    from mindlong.plans.contexts import Contexts

Ask = Callable[
    [np.ndarray, np.ndarray, np.ndarray], np.ndarray
]  # (x of the window, t, context of those frames) -> prediction


def windowed(
    ask: Ask, contexts: Contexts, frames: int, times: Sequence[float], context: np.ndarray
) -> Model:
    """The prediction for all frames.

    Args:
        frames: latent frames of the video.
        times: the timesteps of the sampler in order; their places are the steps that the windows
            depend on.
        context: (B, S, D), or (B, F, S, D) with a prompt for each frame.
    """
    place = {float(t): step for step, t in reversed([*enumerate(times)])}

    def model(x_BCFHW: np.ndarray, t_B: np.ndarray) -> np.ndarray:
        step = place.get(float(t_B[0]), _nearest(times, float(t_B[0])))
        summed, counted = np.zeros(x_BCFHW.shape, np.float64), np.zeros(frames)
        for window in contexts.windows(frames, step):
            mine = context if context.ndim == 3 else np.ascontiguousarray(context[:, window])
            out = ask(np.ascontiguousarray(x_BCFHW[:, :, window]), t_B, mine)
            weights = contexts.weights(window, frames)
            np.add.at(counted, window, weights)
            for number, frame in enumerate(window):
                summed[:, :, frame] += out[:, :, number] * weights[number]
        return (summed / counted[:, None, None]).astype(np.float32)

    return model


def _nearest(times: Sequence[float], t: float) -> int:
    """The step of a timestep between two of the list, as a sampler of two stages asks for."""
    return int(np.argmin([abs(float(other) - t) for other in times]))
