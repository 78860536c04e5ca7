"""What has to be sent when the frames of a video are spread over ranks: it follows from who needs
which frames.

Frames are numbered over the whole video. A rank holds one run of consecutive frames, as one or more
clips. A frame that only the ranks beside its own need goes to them; a frame that others need too
goes to everybody, once.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from mindlong.utils.errors import ConfigError


def split_frames(frames: int, parts: int) -> tuple[range, ...]:
    """`frames` frames in `parts` runs as equal as they can be, the longer ones first.

    Raises:
        ConfigError: fewer frames than parts.
    """
    if not 1 <= parts <= frames:
        raise ConfigError(
            f"{frames} frames cannot be spread over {parts} clips; a clip holds at least 1 frame."
        )
    each, more = divmod(frames, parts)
    return split_by([each + (i < more) for i in range(parts)])


def split_by(lengths: Sequence[int]) -> tuple[range, ...]:
    """Runs of the given lengths, one after the other. Raises ConfigError where a length is below
    1.
    """
    if not lengths or min(lengths) < 1:
        raise ConfigError(
            f"clips of {list(lengths)} frames cannot be; each holds at least 1 frame."
        )
    starts = [sum(lengths[:i]) for i in range(len(lengths))]
    return tuple(
        range(start, start + length) for start, length in zip(starts, lengths, strict=True)
    )


def deal(clips: int, ranks: int) -> tuple[range, ...]:
    """Which clips each rank holds: runs as equal as they can be.

    Raises:
        ConfigError: more ranks than clips; the ranks left over would have nothing to do.
    """
    if ranks > clips:
        raise ConfigError(
            f"{ranks} processes were started for {clips} clips; start at most {clips}, or make more clips."
        )
    return split_frames(clips, ranks)


@dataclass(frozen=True)
class HaloPlan:
    """Who sends which frames to whom.

    Attributes:
        owned: the frames of each rank.
        world: for each rank the frames that it sends to everybody.
        left, right: for each rank the frames that it sends to the rank before and behind.
    """

    owned: tuple[range, ...]
    world: tuple[tuple[int, ...], ...]
    left: tuple[tuple[int, ...], ...]
    right: tuple[tuple[int, ...], ...]

    @property
    def ranks(self) -> int:
        """How many there are."""
        return len(self.owned)

    @cached_property
    def quiet(self) -> bool:
        """Nobody sends anything."""
        return not any(map(any_of, (self.world, self.left, self.right)))

    def received(self, rank: int) -> list[tuple[int, tuple[int, ...]]]:
        """(sender, frames) of all that `rank` is sent: to everybody by rank, then from the left,
        then from the right.
        """
        got = [(r, frames) for r, frames in enumerate(self.world) if r != rank]
        got += [(rank - 1, self.right[rank - 1])] if rank else []
        return got + ([(rank + 1, self.left[rank + 1])] if rank + 1 < self.ranks else [])

    def sent_frames(self, rank: int) -> int:
        """Frames that `rank` gives away, each counted once however many it reaches."""
        return len(self.world[rank]) + len(self.left[rank]) + len(self.right[rank])

    def received_frames(self, rank: int) -> int:
        """Frames that reach `rank`."""
        return sum(len(frames) for _, frames in self.received(rank))


def any_of(lists: Iterable[Sequence[int]]) -> bool:
    """Whether one of them holds something."""
    return any(len(x) for x in lists)


def plan(needs: Sequence[Iterable[int]], owned: Sequence[range]) -> HaloPlan:
    """The plan when rank r needs the frames `needs[r]` and holds `owned[r]`."""
    wanted_by: dict[int, set[int]] = {}
    for rank, frames in enumerate(needs):
        for frame in set(frames) - set(owned[rank]):
            wanted_by.setdefault(frame, set()).add(rank)
    world, left, right = ([[] for _ in owned] for _ in range(3))
    for rank, mine in enumerate(owned):
        for frame in mine:
            others = wanted_by.get(frame, set())
            if others - {rank - 1, rank + 1}:
                world[rank].append(frame)
                continue
            left[rank] += [frame] * (rank - 1 in others)
            right[rank] += [frame] * (rank + 1 in others)
    return HaloPlan(tuple(owned), *(tuple(map(tuple, part)) for part in (world, left, right)))
