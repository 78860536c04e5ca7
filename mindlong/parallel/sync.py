"""Running the clips of one rank side by side, and what passes between ranks wherever a layer sees
other frames.

A clip is a generator that yields what it gives and wants (`Ask` and `Answer` of
mindlong.networks.sharded, taken here for what they hold). `rank_program` turns the clips of a
rank into one generator that yields a `Parcel` for the other ranks; `drive` passes parcels through a
Comm, `simulated.run` through memory.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np

from mindlong.parallel import halo
from mindlong.parallel.halo import HaloPlan
from mindlong.plans.clip_layout import KINDS, ClipLayout
from mindlong.plans.dual_scope import ZERO


@dataclass(frozen=True)
class Parcel:
    """What a rank sends in one layer: arrays with the frame as first axis.

    Attributes:
        plan: who sends how much.
        numbers: float32 (frames of the rank, ...) for everybody, or None.
        counts: how many of them each rank sends, where they are not of frames.
        world, left, right: frames for everybody, the rank before and the rank behind; None where
            the layer sends none.
    """

    plan: HaloPlan
    numbers: np.ndarray | None
    world: np.ndarray | None
    left: np.ndarray | None
    right: np.ndarray | None
    counts: tuple[int, ...] | None = None

    def numbers_of(self, rank: int) -> int:
        """How many of `numbers` a rank sends."""
        return len(self.plan.owned[rank]) if self.counts is None else self.counts[rank]

    def sent_bytes(self) -> int:
        """Bytes that leave the rank, each array counted once; none where it is alone."""
        if self.plan.ranks == 1:
            return 0
        return sum(
            a.nbytes for a in (self.numbers, self.world, self.left, self.right) if a is not None
        )


@dataclass(frozen=True)
class Arrival:
    """What a rank gets: everybody's numbers and world frames by rank (its own too), frames of the
    ranks beside.
    """

    numbers: Sequence[np.ndarray] | None
    world: Sequence[np.ndarray] | None
    from_left: np.ndarray | None
    from_right: np.ndarray | None


class Swaps(Protocol):
    """A Comm that passes parcels."""

    rank: int
    size: int

    def swap(self, parcel: Parcel) -> Arrival:
        """Send `parcel`, get what the others sent."""


@dataclass(frozen=True)
class Meeting:
    """The static part: which clips each rank holds and what follows from the layout.

    Attributes:
        held: the clips of each rank.
    """

    layout: ClipLayout
    held: tuple[range, ...]

    @cached_property
    def plans(self) -> dict[str, HaloPlan]:
        """Who sends what, for each kind of layer."""
        return {kind: self._plan(kind) for kind in KINDS}

    def _plan(self, kind: str) -> HaloPlan:
        owned = tuple(
            range(self.layout.clips[mine[0]].start, self.layout.clips[mine[-1]].stop)
            for mine in self.held
        )
        needs = [
            set().union(*(self.layout.wanted(kind, c) for c in mine)) - {ZERO} for mine in self.held
        ]
        return halo.plan(needs, owned)

    def parcel(self, rank: int, asks: Sequence[Any]) -> tuple[Parcel, dict[int, np.ndarray]]:
        """What `rank` sends, and the frames that its clips give, by number."""
        kind, plan = asks[0].kind, self.plans[asks[0].kind]
        numbers = None if asks[0].numbers is None else np.concatenate([ask.numbers for ask in asks])
        shelf: dict[int, np.ndarray] = {}
        for clip, ask in zip(self.held[rank], asks, strict=True):
            for place, frame in enumerate(self.layout.exports(kind, clip)):
                shelf[frame] = ask.frames[:, place]
        world, left, right = (
            _stacked(shelf, frames[rank], asks[0].frames)
            for frames in (plan.world, plan.left, plan.right)
        )
        counts = tuple(map(len, self.held)) if asks[0].per_clip else None
        return Parcel(plan, numbers, world, left, right, counts), shelf

    def shelve(self, rank: int, kind: str, arrival: Arrival, shelf: dict[int, np.ndarray]) -> None:
        """Put what arrived beside the rank's own frames."""
        if arrival.world is None:
            return
        beside = {rank - 1: arrival.from_left, rank + 1: arrival.from_right}
        plan = self.plans[kind]
        senders = [
            *((r, a) for r, a in enumerate(arrival.world) if r != rank),
            *((r, beside[r]) for r in (rank - 1, rank + 1) if 0 <= r < plan.ranks),
        ]
        for (_, frames), (_, array) in zip(plan.received(rank), senders, strict=True):
            shelf.update(zip(frames, array, strict=True))

    def answers(
        self,
        rank: int,
        asks: Sequence[Any],
        shelf: dict[int, np.ndarray],
        numbers: np.ndarray | None,
    ) -> list[Any]:
        """(frames, numbers) for each clip of `rank`."""
        made = []
        for clip, ask in zip(self.held[rank], asks, strict=True):
            frames = (
                None
                if ask.frames is None
                else _side_by_side(shelf, self.layout.wanted(ask.kind, clip), ask.frames)
            )
            made.append((frames, numbers))
        return made


def _stacked(
    shelf: dict[int, np.ndarray], frames: Sequence[int], like: np.ndarray | None
) -> np.ndarray | None:
    if like is None:
        return None
    unit = (like.shape[0], *like.shape[2:])
    return np.stack([shelf[f] for f in frames]) if frames else np.zeros((0, *unit), like.dtype)


def _side_by_side(
    shelf: dict[int, np.ndarray], wanted: Sequence[int], like: np.ndarray
) -> np.ndarray:
    """(B, wanted, ...), zeros for ZERO."""
    out = np.zeros((like.shape[0], len(wanted), *like.shape[2:]), like.dtype)
    for place, frame in enumerate(wanted):
        if frame != ZERO:
            out[:, place] = shelf[frame]
    return out


Program = Generator[Parcel, Arrival, list[Any]]


def rank_program(
    meeting: Meeting, rank: int, clips: Sequence[Generator[Any, Any, Any]], reply: type
) -> Program:
    """The clips of a rank, in lock step; `reply(frames, numbers)` makes their answers. Returns
    their results.
    """
    asks = [next(clip) for clip in clips]
    while True:
        parcel, shelf = meeting.parcel(rank, asks)
        arrival = yield parcel
        meeting.shelve(rank, asks[0].kind, arrival, shelf)
        numbers = None if arrival.numbers is None else np.concatenate(arrival.numbers)
        answers, results, asks = meeting.answers(rank, asks, shelf, numbers), [], list(asks)
        for i, (clip, answer) in enumerate(zip(clips, answers, strict=True)):
            try:
                asks[i] = clip.send(reply(*answer))
            except StopIteration as end:
                results.append(end.value)
        if results:
            return results


@dataclass
class Traffic:
    """What a rank has sent, the seconds that it took to pass parcels, and those of them in which it
    waited for slower ranks, where the Comm knows.
    """

    parcels: int = 0
    bytes: int = 0
    seconds: float = 0.0
    waited: float = 0.0

    def add(self, parcel: Parcel) -> None:
        """Count `parcel`."""
        self.parcels += 1
        self.bytes += parcel.sent_bytes()


def drive(program: Program, comm: Swaps, traffic: Traffic | None = None) -> list[Any]:
    """Run a rank's program to its end, its parcels through `comm`."""
    traffic = traffic or Traffic()
    try:
        parcel = next(program)
        while True:
            traffic.add(parcel)
            clock, before = time.perf_counter(), getattr(comm, "waited", 0.0)
            arrival = comm.swap(parcel)
            traffic.seconds += time.perf_counter() - clock
            traffic.waited += getattr(comm, "waited", 0.0) - before
            parcel = program.send(arrival)
    except StopIteration as end:
        return end.value


def alone(parcel: Parcel) -> Arrival:
    """What a single rank gets: its own."""
    numbers = None if parcel.numbers is None else [parcel.numbers]
    return Arrival(numbers, None if parcel.world is None else [parcel.world], None, None)
