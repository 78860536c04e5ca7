"""Keeping a predicted clean sample within the range of real ones. Every function is `x0 -> x0` on
(B, ...) float32 arrays.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from mindlong.utils.errors import ConfigError

Clip = Callable[[np.ndarray], np.ndarray]


def static_threshold(bound: float = 1.0) -> Clip:
    """Cut to [-bound, bound]."""
    return lambda x0: np.clip(x0, -bound, bound)


def dynamic_threshold(percentile: float = 0.9, maximum: float | None = None) -> Clip:
    """Imagen's dynamic thresholding (arXiv 2205.11487): cut at s, divide by s.

    s is the `percentile` quantile (0 to 1, linear interpolation) of |x0| over each row, at least 1
    and at most `maximum`. Rows may
    have any number of elements.
    """
    if not 0 < percentile <= 1:
        raise ConfigError(
            f"The percentile of dynamic thresholding is {percentile}; it must be above 0 and at most 1."
        )

    def clip(x0: np.ndarray) -> np.ndarray:
        rows = np.sort(np.abs(x0.reshape(len(x0), -1)), axis=1)
        bound = np.clip(_sorted_quantile(rows, percentile), 1.0, maximum).astype(x0.dtype)
        bound = bound.reshape(-1, *[1] * (x0.ndim - 1))
        return np.clip(x0, -bound, bound) / bound

    return clip


def _sorted_quantile(rows: np.ndarray, q: float) -> np.ndarray:
    """The q-quantile of each ascending row of (B, N), between two neighbours by linear
    interpolation; (B,) float64.
    """
    place = q * (rows.shape[1] - 1)
    low = int(np.floor(place))
    high = min(low + 1, rows.shape[1] - 1)
    below = rows[:, low].astype(np.float64)
    return below + (rows[:, high] - below) * (place - low)
