"""Key/value policies as what a graph needs of them: block sizes, indices and biases, all known
while it is compiled.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from mindspore import Tensor, ops

from mindlong.plans import kv_policy


@lru_cache(maxsize=256)
def _block_size(policy: str, in_time: bool, frames: int) -> int:
    """Frames whose queries are taken together."""
    rows = kv_policy.table(policy, frames)
    if in_time:
        return kv_policy.best_size(rows)
    return frames if kv_policy.shared(rows) else 1


def _reading(policy: str, in_time: bool, frames: int) -> kv_policy.Reading:
    return kv_policy.reading(kv_policy.table(policy, frames), _block_size(policy, in_time, frames))


@ops.constexpr
def sizes(policy: str, in_time: bool, frames: int) -> tuple[int, int, bool]:
    """Number of blocks, of frames that a block reads, and whether there is a bias."""
    found = _reading(policy, in_time, frames)
    return (*map(int, found.index.shape), found.bias is not None)


@ops.constexpr
def padding(policy: str, in_time: bool, frames: int) -> int:
    """Frames missing to whole blocks."""
    return kv_policy.padding(frames, _block_size(policy, in_time, frames))


@ops.constexpr
def index(policy: str, in_time: bool, frames: int) -> tuple[tuple[tuple[int, ...], ...], bool]:
    """The frames that each block reads, and False where that is each frame once and in order."""
    rows = _reading(policy, in_time, frames).index
    return tuple(tuple(map(int, row)) for row in rows), not np.array_equal(
        rows.reshape(-1), np.arange(frames)
    )


@ops.constexpr
def gathered(policy: str, in_time: bool, frames: int, lead: int) -> Tensor | None:
    """int32 (lead * blocks * keys,): the frames read, block after block, of each of `lead` videos
    that lie one behind the other; None where that is each frame once, in order.
    """
    rows = _reading(policy, in_time, frames).index.reshape(-1)
    if np.array_equal(rows, np.arange(frames)):
        return None
    return Tensor((rows + np.arange(lead)[:, None] * frames).reshape(-1).astype(np.int32))


@ops.constexpr
def bias(policy: str, in_time: bool, frames: int, pixels: int) -> Tensor | None:
    """float32 (blocks, 1, frames of a block or 1, keys) to add to the scores; None: nothing."""
    found = _reading(policy, in_time, frames).bias
    if found is None:
        return None
    return Tensor(found[:, None] if in_time else np.repeat(found, pixels, 2)[:, None])
