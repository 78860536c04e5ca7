"""Which item a global sample number means: every epoch its own shuffle, computed when asked for,
nothing to save.

Sample n is place n % count of epoch n // count. The number of processes, of workers and the step
resumed from cannot change it, because none of them is asked.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from mindlong.utils.errors import ConfigError
from mindlong.utils.rng import generator


def item_of(seed: int, sample: int, count: int) -> int:
    """The item in 0..count-1 that global sample number `sample` takes; each epoch takes every item
    once.
    """
    if count < 1 or sample < 0:
        raise ConfigError(
            f"sample {sample} of {count} items cannot be chosen; both start at 0 and there must be items"
        )
    epoch, place = divmod(sample, count)
    return int(_shuffle(seed, epoch, count)[place])


@lru_cache(maxsize=4)
def _shuffle(seed: int, epoch: int, count: int) -> np.ndarray:
    return generator(seed, "order", epoch).permutation(count).astype(np.int32)


def window(count: int, frames: int, stride: float, short: str, start: float) -> np.ndarray:
    """Which frames of a file of `count` frames make a clip: (frames,) int.

    Args:
        stride: frames of the file for one frame of the clip, any positive number (below 1 frames
            are shown twice).
        short: where the file is too short: `repeat_last` or `loop` (over what the stride takes).
        start: in [0, 1), the share of the possible beginnings.

    Raises:
        ConfigError: the file is too short and `short` is `refuse`.
    """
    span = int(np.floor((frames - 1) * stride)) + 1
    if count >= span:
        first = int(start * (count - span + 1))
        return first + np.floor(np.arange(frames) * stride).astype(int)
    if short == "refuse":
        raise ConfigError(f"it has {count} frames where {span} are needed")
    taken = np.floor(np.arange(frames) * stride).astype(int)
    taken = taken[taken < count]
    places = np.arange(frames)
    return (
        taken[places % len(taken)] if short == "loop" else taken[np.minimum(places, len(taken) - 1)]
    )
