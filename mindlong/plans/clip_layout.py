"""A long video cut into clips: what each clip needs of the others in each kind of layer, and how it
reads it.

Kinds: "norm" (numbers only), "conv" (frames beside the clip), "attention" (the keys of its frames).
A clip's keys stand in a pool: its own frames, then what it needs of others, in the order of
`wanted`.

Styles (the words of `mindlong.plans.dual_scope`): "exact" takes norms over the whole video and one
frame on each side for every convolution; "video_infinity" takes norms over the clip and four frames
once for the four convolutions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from mindlong.plans import dual_scope, kv_policy
from mindlong.plans.dual_scope import ZERO, Reads, Tuning
from mindlong.plans.joint_reads import Joint
from mindlong.utils.errors import ConfigError

KINDS = ("norm", "conv", "attention")


@dataclass(frozen=True)
class ClipReading:
    """How a clip's queries read its pool, in blocks of `size` frames.

    Attributes:
        index: int32 (blocks * width,): places in the pool, block after block.
        frames: for every block the frames (or ZERO) behind its places; shorter blocks are filled
            up.
    """

    index: np.ndarray
    blocks: int
    size: int
    frames: tuple[tuple[int, ...], ...]

    @property
    def width(self) -> int:
        """Keys of a block."""
        return len(self.index) // self.blocks


@dataclass(frozen=True)
class ClipLayout:
    """The clips of a video.

    Attributes:
        clips: the frames of each, consecutive and without gaps.
        reads: the table of the attention over frames.
        tuning: how its scores are changed.
        exact: the style; else "video_infinity".
        context: frames that a clip takes from each side for its convolutions.
        joint: how a network of one sequence of text and video reads.
    """

    clips: tuple[range, ...]
    reads: Reads
    tuning: Tuning = field(default_factory=Tuning)
    exact: bool = True
    context: int = 1
    joint: Joint = field(default_factory=Joint)

    def __post_init__(self) -> None:
        if self.reads.frames != self.frames:
            raise ConfigError(
                f"The table is for {self.reads.frames} frames; the clips hold {self.frames}."
            )
        shortest = min(map(len, self.clips))
        if not self.exact and shortest < self.context:
            raise ConfigError(
                f"compat video_infinity: conv_layer.padding is {self.context}; a rank has {shortest} frames, and the "
                "original is silently wrong with fewer than the padding."
            )

    @property
    def frames(self) -> int:
        """Frames of the whole video."""
        return self.clips[-1].stop

    def wanted(self, kind: str, clip: int) -> tuple[int, ...]:
        """Frames that a clip needs beside its own, in the order in which it gets them; ZERO for a
        frame of zeros.
        """
        return self._wanted[kind][clip]

    @cached_property
    def _wanted(self) -> dict[str, list[tuple[int, ...]]]:
        return {
            "norm": [()] * len(self.clips),
            "conv": [self._beside(mine) for mine in self.clips],
            "attention": [self._keys(mine) for mine in self.clips],
        }

    def _beside(self, mine: range) -> tuple[int, ...]:
        places = [
            *range(mine.start - self.context, mine.start),
            *range(mine.stop, mine.stop + self.context),
        ]
        return tuple(f if 0 <= f < self.frames else ZERO for f in places)

    def _keys(self, mine: range) -> tuple[int, ...]:
        return tuple(sorted(set().union(*map(self.reads.set_of, mine)) - set(mine)))

    def exports(self, kind: str, clip: int) -> tuple[int, ...]:
        """Frames of a clip that other clips need."""
        return self._exports[kind][clip]

    @cached_property
    def _exports(self) -> dict[str, list[tuple[int, ...]]]:
        needed = {kind: set().union(*rows) for kind, rows in self._wanted.items()}
        return {
            kind: [tuple(f for f in mine if f in needed[kind]) for mine in self.clips]
            for kind in KINDS
        }

    def reading(self, clip: int) -> ClipReading:
        """How the clip's queries read its pool."""
        mine = self.clips[clip]
        pool = [*mine, *self.wanted("attention", clip)]
        place = {frame: i for i, frame in enumerate(pool)}
        blocks = _cheapest([self.reads.set_of(f) for f in mine])
        width = max(map(len, blocks))
        frames = tuple((*keys, *[keys[0]] * (width - len(keys))) for keys in blocks)
        index = np.array([place[k] for keys in frames for k in keys], np.int32)
        return ClipReading(index, len(blocks), len(mine) // len(blocks), frames)

    def frame_reading(self, clip: int) -> ClipReading:
        """How the clip's queries read its pool, each frame by itself, or all together where they
        read the same and nothing is added to their scores.
        """
        mine = self.clips[clip]
        rows = [tuple(sorted(self.reads.set_of(f))) for f in mine]
        together = len(set(rows)) == 1 and self.tuning == Tuning()
        blocks = rows[:1] if together else rows
        place = {f: i for i, f in enumerate([*mine, *self.wanted("attention", clip)])}
        width = max(map(len, blocks))
        frames = tuple((*keys, *[keys[0]] * (width - len(keys))) for keys in blocks)
        index = np.array([place[k] for keys in frames for k in keys], np.int32)
        return ClipReading(index, len(blocks), len(mine) // len(blocks), frames)

    def bias(self, clip: int, reading: ClipReading, t: int) -> np.ndarray:
        """float32 (blocks, size, width): what is added to the scores at timestep `t`."""
        biases, mine = self.tuning.biases(t), self.clips[clip]
        bias = np.full((reading.blocks, reading.size, reading.width), kv_policy.MASKED, np.float32)
        for i, f in enumerate(mine):
            block, row = divmod(i, reading.size)
            place = {frame: j for j, frame in reversed(list(enumerate(reading.frames[block])))}
            columns = [place[k] for k in self.reads.keys[f].tolist()]
            bias[block, row, columns] = self.reads.log_weights(f, biases)
        return bias

    def factors(self, clip: int) -> np.ndarray:
        """float32 (frames of the clip,): the factor on the scores."""
        mine = self.clips[clip]
        return self.reads.factors(self.tuning)[mine.start : mine.stop]


def _cheapest(rows: Sequence[frozenset[int]]) -> list[list[int]]:
    """The keys of each block, in blocks of the size that costs least (as `kv_policy.best_size`
    counts it).
    """
    count, best, least = len(rows), [], float("inf")
    for size in (s for s in range(1, count + 1) if count % s == 0):
        blocks = [sorted(frozenset().union(*rows[i : i + size])) for i in range(0, count, size)]
        cost = len(blocks) * (kv_policy.OVERHEAD + size * max(map(len, blocks)))
        if cost < least:
            best, least = blocks, cost
    return best


def exact_layout(
    clips: Sequence[range],
    local: str,
    spread: str,
    tuning: Tuning | None = None,
    joint: Joint | None = None,
) -> ClipLayout:
    """Clips that together are one video, whatever their number: see
    `mindlong.plans.dual_scope.exact`.
    """
    reads, joint = dual_scope.exact(local, spread, clips[-1].stop), joint or Joint()
    joint.read(clips[-1].stop)
    return ClipLayout(tuple(clips), reads, tuning or Tuning(), joint=joint)


def views_layout(clips: Sequence[range], views: Sequence[range]) -> ClipLayout:
    """Clips whose attentions over frames read in views of the whole video: a frame needs all frames
    of each view that holds it.

    Args:
        views: their frames; together they hold all frames.
    """
    keys = []
    for frame in range(clips[-1].stop):
        needed = {other for view in views if frame in view for other in view}
        keys.append(np.array(sorted(needed)))
    near, far = (tuple(make(row.shape) for row in keys) for make in (np.ones, np.zeros))
    return ClipLayout(tuple(clips), Reads(tuple(keys), near, far))


def video_infinity_layout(
    clips: Sequence[range], reach: int, count: int, tuning: Tuning | None = None, padding: int = 4
) -> ClipLayout:
    """Clips as the original's released code treats them, one for each rank.

    Raises:
        ConfigError: clips of different lengths, or a padding the original cannot run with.
    """
    if len(set(map(len, clips))) != 1:
        raise ConfigError(
            f"compat video_infinity: clips of {[len(c) for c in clips]} frames; the original needs all to be equal."
        )
    if padding < 1:
        raise ConfigError(
            f"compat video_infinity: conv_layer.padding is {padding}; the original needs at least 1."
        )
    reads = dual_scope.video_infinity(reach, count, len(clips), len(clips[0]))
    return ClipLayout(tuple(clips), reads, tuning or Tuning(), False, padding)
