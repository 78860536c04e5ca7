"""What the processes of a job say to each other beside the compiled step."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from mindlong.utils.errors import UserError


class Comm(Protocol):
    """`size` processes numbered by `rank`. Every method is called by all of them, in the same order."""

    rank: int
    size: int

    def all_reduce_sum(self, values: np.ndarray) -> np.ndarray:
        """The sum of everybody's float32 array (any shape, the same everywhere); bit-equal on all ranks."""

    def all_gather_text(self, text: str) -> list[str]:
        """Everybody's text, by rank."""


class SerialComm:
    """A single process."""

    rank, size = 0, 1

    def all_reduce_sum(self, values: np.ndarray) -> np.ndarray:
        return values

    def all_gather_text(self, text: str) -> list[str]:
        return [text]


class MindSporeComm:
    """MindSpore's own collectives over the world that `mindlong.parallel.launch` joined (CPU or HCCL)."""

    def __init__(self, rank: int, size: int) -> None:
        from mindspore import ops

        self.rank, self.size = rank, size
        self._sum, self._gather = ops.AllReduce(), ops.AllGather()

    def all_reduce_sum(self, values: np.ndarray) -> np.ndarray:
        from mindspore import Tensor

        return self._sum(Tensor(np.ascontiguousarray(values, np.float32))).asnumpy()

    def all_gather_text(self, text: str) -> list[str]:
        data = np.frombuffer(text.encode("utf-8"), np.uint8)
        sizes = self._rows(np.array([data.size], np.int32))[:, 0]
        padded = np.zeros(max(int(sizes.max()), 1), np.int32)
        padded[: data.size] = data
        rows = self._rows(padded)
        return [rows[i, : sizes[i]].astype(np.uint8).tobytes().decode("utf-8") for i in range(self.size)]

    def _rows(self, values: np.ndarray) -> np.ndarray:
        from mindspore import Tensor

        return self._gather(Tensor(values[None])).asnumpy()


def all_ok(comm: Comm, error: BaseException | None, what: str) -> None:
    """Raise `error` here and a UserError on the other processes, or nothing where all succeeded with `what`."""
    texts = comm.all_gather_text("" if error is None else f"{type(error).__name__}: {error}"[:500])
    if error is not None:
        raise error
    for rank, text in enumerate(texts):
        if text:
            raise UserError(f"process {rank} failed with {what}: {text}")
