"""What shows where the runs of a long video join: steps of contrast, and flicker.

Axes: F frames, H W pixels, C channels. The change at the joins over the usual change is
`mindlong.scores.long_score`'s.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class SeamScore:
    """One video.

    Attributes:
        contrast: how much less contrast the neighbours of the joins' frames have than these, as a
            share; negative: more. Contrast is the deviation of a frame's values. 0: no joins.
        flicker: root mean square of the second differences of the frames' mean values, of 255.
    """

    contrast: float
    flicker: float


def seams(frames_FHWC: np.ndarray, joins: Sequence[int]) -> SeamScore:
    """Measure a video; `joins` are the frames that two runs share."""
    values = frames_FHWC.astype(np.float64)
    deviations, means = values.std(axis=(1, 2, 3)), values.mean(axis=(1, 2, 3))
    inside = [j for j in joins if 0 < j < len(values) - 1]
    steps = [
        1 - (deviations[j - 1] + deviations[j + 1]) / (2 * max(deviations[j], 1e-6)) for j in inside
    ]
    bends = np.diff(means, 2)
    return SeamScore(
        float(np.mean(steps)) if steps else 0.0,
        float(np.sqrt(np.mean(bends**2))) if len(bends) else 0.0,
    )
