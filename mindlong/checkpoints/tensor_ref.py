"""A tensor of a PyTorch file before it is read: which storage, and which window on it."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mindlong.checkpoints.dtypes import Format


@dataclass(frozen=True)
class Storage:
    """A run of `count` numbers kept in the record `data/KEY`."""

    key: str
    form: Format
    count: int


@dataclass(frozen=True)
class TensorRef:
    """A tensor: a window on a storage. `offset` and `stride` count numbers, not bytes."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]

    @property
    def count(self) -> int:
        """How many numbers it has."""
        return prod(self.shape)

    @property
    def contiguous(self) -> bool:
        """True where its numbers lie one behind the other in C order."""
        wanted = 1
        for size, stride in zip(reversed(self.shape), reversed(self.stride), strict=True):
            if size != 1 and stride != wanted:
                return False
            wanted *= size
        return True

    @property
    def extent(self) -> int:
        """Numbers from its first to its last one."""
        return (
            1 + sum((n - 1) * s for n, s in zip(self.shape, self.stride, strict=True))
            if self.count
            else 0
        )
