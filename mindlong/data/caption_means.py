"""The mean clip of each caption, which is all that pure noise leaves of a clip.

Legend: F frames, H, W pixels, C channels.
"""

from __future__ import annotations

import numpy as np

from mindlong.data.source import Sample, Source


class CaptionMeans:
    """Means over the first `count` clips of a source, by caption.

    Args:
        source: of the clips; it is asked for them when the first mean is wanted.
        count: how many clips are looked at.
    """

    def __init__(self, source: Source, count: int) -> None:
        self.source, self.count = source, count
        self._means: dict[str, np.ndarray] | None = None

    def of(self, clip: Sample) -> np.ndarray:
        """The mean of the clips with this one's caption, float32 (F, H, W, C), 0 to 255; the clip
        itself where none of the first `count` has it.
        """
        if self._means is None:
            self._means = self._made()
        mean = self._means.get(clip.caption)
        return clip.frames_FHWC.astype(np.float32) if mean is None else mean

    def _made(self) -> dict[str, np.ndarray]:
        sums: dict[str, np.ndarray] = {}
        counts: dict[str, int] = {}
        for index in range(self.count):
            clip = self.source.sample(index)
            zero = np.zeros(clip.frames_FHWC.shape, np.float32)
            sums.setdefault(clip.caption, zero)
            sums[clip.caption] += clip.frames_FHWC
            counts[clip.caption] = counts.get(clip.caption, 0) + 1
        return {caption: total / counts[caption] for caption, total in sums.items()}
