"""Dual-scope attention over the frames of a long video as a table: what each frame reads, and with
which weight.

A frame reads the frames near it and some frames spread over the whole video (Video-Infinity, arXiv
2406.16260, section 4.2). Every key counts with a weight whose logarithm is added to the score. Two
ways to fill the table:

    exact           both scopes are key/value policies (mindlong.plans.kv_policy); a frame in both
    counts once; beyond the
                    ends of the video there is nothing. The table knows no ranks, so any split gives
                    the same video.
    video_infinity  as the original's released code: beyond the ends stand zero keys and values that
        take part in the
                    softmax, a frame in both scopes counts twice, and the spread frames depend on
                    the number of ranks.

Frame numbers are those of the whole video; ZERO stands for a key and value of zeros.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mindlong.plans import kv_policy
from mindlong.utils.errors import ConfigError

ZERO = -1
MOST_PAIRS = 5e7  # (frame, frame read) that a table may hold
USUAL_KEYS = 16  # frames that the base models were trained on; `token_scale` is 1 there


@dataclass(frozen=True)
class Phase:
    """From timestep `t` on (or below it), these biases are added to the scores of the near and of
    the spread keys.
    """

    t: int
    local: float
    spread: float


@dataclass(frozen=True)
class Tuning:
    """How the scores are changed beside the table.

    Attributes:
        early: biases at timesteps >= early.t (the original's global_phase).
        late: biases at timesteps < late.t (the original's local_phase). Both may apply, and then
            add up.
        scale: factor on all scores (attn_scale).
        token_scale: scores are multiplied by log(keys of the frame) / log(16) (arXiv 2306.08645).
    """

    early: Phase | None = None
    late: Phase | None = None
    scale: float = 1.0
    token_scale: bool = False

    def biases(self, t: int) -> tuple[float, float]:
        """Bias of near and of spread keys at timestep `t`."""
        chosen = [self.early] if self.early and t >= self.early.t else []
        chosen += [self.late] if self.late and t < self.late.t else []
        return sum(phase.local for phase in chosen), sum(phase.spread for phase in chosen)


@dataclass(frozen=True)
class Reads:
    """For each frame of the video the keys that it reads.

    Attributes:
        keys: one sorted int array a frame: frame numbers, or ZERO.
        local, spread: how often each key counts as near, and as spread.
        twice: a key of both scopes counts as both; else once, with the larger of the two biases.
    """

    keys: tuple[np.ndarray, ...]
    local: tuple[np.ndarray, ...]
    spread: tuple[np.ndarray, ...]
    twice: bool = False

    @property
    def frames(self) -> int:
        """Frames of the video."""
        return len(self.keys)

    def set_of(self, frame: int) -> frozenset[int]:
        """The keys of a frame as a set."""
        return frozenset(self.keys[frame].tolist())

    def log_weights(self, frame: int, biases: tuple[float, float] = (0.0, 0.0)) -> np.ndarray:
        """float64, one number for each key of `frame`: what is added to its score."""
        with np.errstate(divide="ignore"):
            near = np.log(self.local[frame].astype(np.float64)) + biases[0]
            far = np.log(self.spread[frame].astype(np.float64)) + biases[1]
        return np.logaddexp(near, far) if self.twice else np.maximum(near, far)

    def factors(self, tuning: Tuning) -> np.ndarray:
        """float32 (frames,): the factor on the scores of each frame."""
        if not tuning.token_scale:
            return np.full(self.frames, tuning.scale, np.float32)
        counts = [
            int((near + far if self.twice else np.maximum(near, far)).sum())
            for near, far in zip(self.local, self.spread, strict=True)
        ]
        return np.array(
            [tuning.scale * math.log(n) / math.log(USUAL_KEYS) for n in counts], np.float32
        )


def exact(local: str, spread: str, frames: int) -> Reads:
    """The exact table of two key/value policies; `spread` may be empty.

    Raises:
        ConfigError: a policy that cannot be read, or that leaves a frame with nothing.
    """
    for policy in filter(None, (local, spread)):
        _check_pairs(policy, frames)
    near = kv_policy.each_row(local, frames) if local else ((),) * frames
    far = kv_policy.each_row(spread, frames) if spread else ((),) * frames
    rows = [_marked(set(a), set(b)) for a, b in zip(near, far, strict=True)]
    if not all(len(keys) for keys, _, _ in rows):
        raise ConfigError(
            f"With the key/value policies {local!r} and {spread!r} a frame has nothing to read."
        )
    return Reads(*zip(*rows, strict=True))


def _check_pairs(policy: str, frames: int) -> None:
    pairs = kv_policy.count_pairs(policy, frames)
    if pairs > MOST_PAIRS:
        raise ConfigError(
            f"The key/value policy {policy!r} reads {pairs:.2g} pairs of frames in {frames} frames; a "
            f"plan holds {MOST_PAIRS:.2g} at most. A window, for example window:17, reads fewer."
        )


def _marked(near: set[int], far: set[int]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The keys of both scopes, and how often each of them is in one."""
    keys = sorted(near | far)
    in_near, in_far = (np.array([key in scope for key in keys], np.int32) for scope in (near, far))
    return np.array(keys, np.int32), in_near, in_far


def spread_of_ranks(ranks: int, frames: int, count: int) -> list[int]:
    """The spread frames as the original picks them from `frames` frames on each of `ranks` ranks,
    at most `count`.

    Each rank offers its own at a stride of its own, from its first frame on; the list is cut off at
    `count`, so that frames of the last ranks drop out, and may be shorter.
    """
    share = count // ranks if count > 0 else 0
    stride = max(frames // share, 1) if share else 10**6
    offered = [rank * frames + i for rank in range(ranks) for i in range(0, frames, stride)]
    return offered[: max(count, 0)]


def video_infinity(reach: int, count: int, ranks: int, frames: int) -> Reads:
    """The original's table for `ranks` ranks of `frames` frames, `reach` frames on each side and
    `count` spread ones.

    Raises:
        ConfigError: a reach that the original cannot run with.
    """
    if not 1 <= reach <= frames:
        raise ConfigError(
            f"compat video_infinity: attn.padding is {reach}; the original needs 1 to the {frames} frames of a rank."
        )
    total, far = ranks * frames, spread_of_ranks(ranks, frames, count)
    rows = [
        _counted([g if 0 <= g < total else ZERO for g in range(f - reach, f + reach + 1)], far)
        for f in range(total)
    ]
    keys, local, spread = zip(*rows, strict=True)
    return Reads(keys, local, spread, twice=True)


def _counted(near: Sequence[int], far: Sequence[int]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    keys = sorted({*near, *far})
    of_near, of_far = (
        np.array([list(scope).count(k) for k in keys], np.int32) for scope in (near, far)
    )
    return np.array(keys, np.int32), of_near, of_far
