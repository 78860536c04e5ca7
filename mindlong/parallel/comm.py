"""What the processes of a job say to each other beside the compiled step."""

from __future__ import annotations

from dataclasses import replace
from typing import Protocol

import numpy as np

from mindlong.parallel import packing
from mindlong.parallel.mailbox import Mailbox
from mindlong.parallel.sync import Arrival, Parcel, alone
from mindlong.parallel.world import several_machines
from mindlong.utils.errors import ConfigError, UserError

SWAPS = ("auto", "shared", "gather", "pairs")
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
        swaps: how clip-parallel frames travel. "shared": through memory that the processes share
            (mindlong.parallel.mailbox), all on one machine; "gather": one all-gather a layer, in
            which everybody gets everything; "pairs": frames for neighbours in all-reduces over
            groups of two, the rest in an all-gather; "auto": shared on one machine, else gather for
            up to GATHER_UP_TO ranks and pairs for more. The CPU has no point-to-point collectives.
    """

    def __init__(self, rank: int, size: int, swaps: str = "auto") -> None:
        from mindspore import ops

        self.rank, self.size = rank, size
        self._sum, self._gather = ops.AllReduce(), ops.AllGather()
        self._pairs: dict[int, object] | None = None
        self._box: Mailbox | None = None
        self.choose(swaps)

    def choose(self, swaps: str) -> None:
        """Change how clip-parallel frames travel; all ranks alike.

        Raises:
            ConfigError: a word of none of SWAPS, or memory of several machines.
        """
        if swaps not in SWAPS:
            raise ConfigError(f"swaps is {swaps!r}; it must be one of {', '.join(SWAPS)}.")
        if swaps == "shared" and several_machines():
            raise ConfigError(
                "swaps is shared, and the processes run on several machines, which share no memory; "
                "take gather or pairs."
            )
        far = "gather" if self.size <= GATHER_UP_TO else "pairs"
        self.way = swaps if swaps != "auto" else far if several_machines() else "shared"

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
        if self.way == "shared":
            if self._box is None:
                self._box = Mailbox(self.rank, self.size, self.all_gather_text)
            return self._box.swap(parcel)
        apart = self.way == "pairs" and parcel.world is not None and not parcel.plan.quiet
        everybody = self._gathered(replace(parcel, left=None, right=None) if apart else parcel)
        found = packing.arrival(parcel, self.rank, everybody)
        if not apart:
            return found
        left, right = self._beside(parcel)
        return replace(found, from_left=left, from_right=right)

    @property
    def waited(self) -> float:
        """Seconds until others had sent what this process was ready for, where that is known."""
        return 0.0 if self._box is None else self._box.waited

    def _gathered(self, parcel: Parcel) -> list[list[np.ndarray]]:
        """Everybody's arrays, as one message."""
        parts = [packing.shapes(parcel, rank) for rank in range(self.size)]
        most = max(map(packing.size_of, parts))
        sent = np.zeros(most, np.uint8)
        packing.pack(packing.contents(parcel), sent)
        rows = self._rows(sent.view(np.int32)) if most else np.zeros((self.size, 0), np.int32)
        return [
            packing.unpack(row.view(np.uint8), part) for row, part in zip(rows, parts, strict=True)
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
