"""A long video from a network that sees one window at a time: predictions of overlapping windows,
weighted and summed.

Weights fall from the middle of a window to its ends, so that a frame hears most from the windows it
is in the middle of (arXiv 2305.18264, section 3; FreeNoise, arXiv 2310.15169, weighs so inside the
attention over frames, here it is the predictions). `shuffled` repeats the noise of the first window
block by block, each block in a new order: FreeNoise's long-range correlation. Memory does not grow
with the length; what is sent between processes is the sum of predictions.

Legend: B videos, C channels of a latent, F frames of the video, W of a window, h w latent pixels.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from mindlong.parallel.comm import Comm, SerialComm
from mindlong.utils import rng
from mindlong.utils.errors import ConfigError

Window = Callable[
    [np.ndarray, np.ndarray, range], np.ndarray
]  # (x of the window, t, its frames) -> prediction


def windows(frames: int, window: int, stride: int) -> list[range]:
    """Windows of `window` frames, `stride` apart, the last one moved back to end with the video.

    Raises:
        ConfigError: a stride that would leave frames out, or a window longer than the video.
    """
    if not 1 <= stride <= window:
        raise ConfigError(
            f"clip_parallel.stride is {stride}; it must be 1 to the {window} frames of a window."
        )
    if window > frames:
        raise ConfigError(f"clip_parallel.window is {window}; the video has only {frames} frames.")
    starts = [*range(0, frames - window, stride), frames - window]
    return [range(start, start + window) for start in starts]


def weights(window: int, flat: bool = False) -> np.ndarray:
    """float32 (window,): 1 at the ends, one more a frame towards the middle; `flat`: 1
    everywhere.
    """
    places = np.arange(window)
    return (np.ones(window) if flat else 1 + np.minimum(places, window - 1 - places)).astype(
        np.float32
    )


class Windows:
    """The prediction for a whole video, its windows dealt to the processes.

    Args:
        model: the network on one window.
        flat: all frames of a window count alike.
    """

    def __init__(
        self,
        model: Window,
        frames: int,
        window: int,
        stride: int,
        comm: Comm | None = None,
        flat: bool = False,
    ) -> None:
        self.model, self.comm, self.places = (
            model,
            comm or SerialComm(),
            windows(frames, window, stride),
        )
        self.weights = weights(window, flat)
        self.total = np.zeros(frames, np.float32)
        for place in self.places:
            self.total[place.start : place.stop] += self.weights

    def predict(self, x_BCFHW: np.ndarray, t_B: np.ndarray) -> np.ndarray:
        """float32, shaped like `x_BCFHW`, which holds the whole video in every process."""
        summed = np.zeros_like(x_BCFHW, np.float32)
        for place in self.places[self.comm.rank :: self.comm.size]:
            mine = slice(place.start, place.stop)
            out = self.model(np.ascontiguousarray(x_BCFHW[:, :, mine]), t_B, place)
            summed[:, :, mine] += out * self.weights[:, None, None]
        return self.comm.all_reduce_sum(summed) / self.total[:, None, None]


def shuffled(frames: int, window: int, stride: int, seed: int) -> np.ndarray:
    """int (frames,): for each frame the frame of the first window whose noise it has.

    Every block of `stride` frames behind the first window repeats the block one window earlier, in
    an order of its own.
    """
    source = list(range(min(window, frames)))
    while len(source) < frames:
        start = len(source) - window
        block = np.array(source[start : start + min(stride, frames - len(source))])
        source += block[
            rng.generator(seed, "shuffle", len(source)).permutation(len(block))
        ].tolist()
    return np.array(source)
