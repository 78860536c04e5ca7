"""What the processes of a job say to each other beside the compiled step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from mindlong.parallel.sync import Arrival, Parcel, alone
from mindlong.utils.errors import ConfigError, UserError

SWAPS = ("auto", "gather", "pairs")
GATHER_UP_TO = 2  # ranks: beyond, an all-gather brings everybody what only two neighbours want


class Comm(Protocol):
    """`size` processes numbered by `rank`. Every method is called by all of them, in the same
    order.
    """

    rank: int
    size: int

    def all_reduce_sum(self, values: np.ndarray) -> np.ndarray:
        """The sum of everybody's float32 array (any shape, the same everywhere); bit-equal on all
        ranks.
        """

    def all_gather_text(self, text: str) -> list[str]:
        """Everybody's text, by rank."""

    def broadcast(self, values: np.ndarray, root: int) -> np.ndarray:
        """The float32 array of process `root`; the others give one of its shape."""

    def choose(self, swaps: str) -> None:
        """Change how `swap` sends (of SWAPS); all processes alike."""

    def swap(self, parcel: Parcel) -> Arrival:
        """Send frames of a clip-parallel run (mindlong.parallel.sync), get what the others sent."""


class SerialComm:
    """A single process."""

    rank, size = 0, 1

    def all_reduce_sum(self, values: np.ndarray) -> np.ndarray:
        return values

    def all_gather_text(self, text: str) -> list[str]:
        return [text]

    def broadcast(self, values: np.ndarray, root: int) -> np.ndarray:
        return values

    def choose(self, swaps: str) -> None:
        """Nothing travels."""

    def swap(self, parcel: Parcel) -> Arrival:
        return alone(parcel)


class MindSporeComm:
    """MindSpore's own collectives over the world that `mindlong.parallel.launch` joined (CPU or
    HCCL).

    Args:
        swaps: how clip-parallel frames travel. "gather": one all-gather a layer, in which everybody
            gets everything;
            "pairs": frames for neighbours in all-reduces over groups of two, the rest in an
                all-gather; "auto": gather for
            up to GATHER_UP_TO ranks. The CPU has no point-to-point collectives.
    """

    def __init__(self, rank: int, size: int, swaps: str = "auto") -> None:
        from mindspore import ops

        self.rank, self.size = rank, size
        self._sum, self._gather = ops.AllReduce(), ops.AllGather()
        self._pairs: dict[int, object] | None = None
        self.choose(swaps)

    def choose(self, swaps: str) -> None:
        """Change how clip-parallel frames travel; all ranks alike. Raises ConfigError for a word of
        none of SWAPS.
        """
        if swaps not in SWAPS:
            raise ConfigError(f"swaps is {swaps!r}; it must be one of {', '.join(SWAPS)}.")
        self.paired = swaps == "pairs" or (swaps == "auto" and self.size > GATHER_UP_TO)

    def all_reduce_sum(self, values: np.ndarray) -> np.ndarray:
        from mindspore import Tensor

        return self._sum(Tensor(np.ascontiguousarray(values, np.float32))).asnumpy()

    def broadcast(self, values: np.ndarray, root: int) -> np.ndarray:
        from mindspore import Tensor, ops

        sent = ops.Broadcast(root)((Tensor(np.ascontiguousarray(values, np.float32)),))
        return sent[0].asnumpy()

    def all_gather_text(self, text: str) -> list[str]:
        data = np.frombuffer(text.encode("utf-8"), np.uint8)
        sizes = self._rows(np.array([data.size], np.int32))[:, 0]
        padded = np.zeros(max(int(sizes.max()), 1), np.int32)
        padded[: data.size] = data
        rows = self._rows(padded)
        return [
            rows[i, : sizes[i]].astype(np.uint8).tobytes().decode("utf-8") for i in range(self.size)
        ]

    def swap(self, parcel: Parcel) -> Arrival:
        numbers = (
            None
            if parcel.numbers is None
            else self._by_rank([parcel.numbers], [[len(o)] for o in parcel.plan.owned])
        )
        numbers = None if numbers is None else [rows[0] for rows in numbers]
        if parcel.world is None or parcel.plan.quiet:
            return Arrival(numbers, _nothing(parcel, self.size), _none_of(parcel), _none_of(parcel))
        if self.paired:
            world = [
                rows[0]
                for rows in self._by_rank([parcel.world], [[len(w)] for w in parcel.plan.world])
            ]
            return Arrival(numbers, world, *self._beside(parcel))
        plan = parcel.plan
        counts = [
            [len(plan.world[r]), len(plan.left[r]), len(plan.right[r])] for r in range(self.size)
        ]
        rows = self._by_rank([parcel.world, parcel.left, parcel.right], counts)
        left = rows[self.rank - 1][2] if self.rank else None
        right = rows[self.rank + 1][1] if self.rank + 1 < self.size else None
        return Arrival(numbers, [row[0] for row in rows], left, right)

    def _by_rank(
        self, mine: Sequence[np.ndarray], counts: Sequence[Sequence[int]]
    ) -> list[list[np.ndarray]]:
        """For each rank its arrays, gathered as one message; `counts[r]` are the lengths of rank
        r's, units are alike.
        """
        unit, most = mine[0].shape[1:], max(map(sum, counts))
        if not most:
            return [[np.zeros((0, *unit), mine[0].dtype) for _ in mine] for _ in counts]
        sent = np.zeros((most, *unit), mine[0].dtype)
        np.concatenate(mine, out=sent[: sum(map(len, mine))])
        return [
            np.split(row[: sum(count)], np.cumsum(count)[:-1])
            for row, count in zip(self._rows(sent), counts, strict=True)
        ]

    def _beside(self, parcel: Parcel) -> tuple[np.ndarray | None, np.ndarray | None]:
        """Frames from the left and from the right: pairs (0, 1), (2, 3), .. first, then (1, 2), ..,
        so no ring of waiting.
        """
        from mindspore import Tensor

        got: dict[int, np.ndarray | None] = {self.rank - 1: None, self.rank + 1: None}
        for first in sorted((self.rank - 1, self.rank), key=lambda i: (i % 2, i)):
            if not 0 <= first < self.size - 1:
                continue
            lengths = len(parcel.plan.right[first]), len(parcel.plan.left[first + 1])
            both = np.zeros((sum(lengths), *parcel.world.shape[1:]), parcel.world.dtype)
            mine, theirs = (slice(0, lengths[0]), slice(lengths[0], None))[
                :: 1 if first == self.rank else -1
            ]
            both[mine] = parcel.right if first == self.rank else parcel.left
            if len(both):
                both = self._pair(first)(Tensor(both)).asnumpy()
            got[first + 1 if first == self.rank else first] = both[theirs]
        return got[self.rank - 1], got[self.rank + 1]

    def _pair(self, first: int) -> object:
        """The all-reduce of ranks `first` and `first + 1`."""
        if self._pairs is None:
            from mindspore import ops
            from mindspore.communication import create_group

            self._pairs = {}
            for i in sorted((self.rank - 1, self.rank), key=lambda i: (i % 2, i)):
                if 0 <= i < self.size - 1:
                    create_group(f"pair{i}", [i, i + 1])
                    self._pairs[i] = ops.AllReduce(group=f"pair{i}")
        return self._pairs[first]

    def _rows(self, values: np.ndarray) -> np.ndarray:
        from mindspore import Tensor

        return self._gather(Tensor(values[None])).asnumpy()


def _none_of(parcel: Parcel) -> np.ndarray | None:
    return None if parcel.world is None else parcel.world[:0]


def _nothing(parcel: Parcel, size: int) -> list[np.ndarray] | None:
    return None if parcel.world is None else [parcel.world[:0]] * size


def all_ok(comm: Comm, error: BaseException | None, what: str) -> None:
    """Raise `error` here and a UserError on the other processes, or nothing where all succeeded
    with `what`.
    """
    texts = comm.all_gather_text("" if error is None else f"{type(error).__name__}: {error}"[:500])
    if error is not None:
        raise error
    for rank, text in enumerate(texts):
        if text:
            raise UserError(f"process {rank} failed with {what}: {text}")
