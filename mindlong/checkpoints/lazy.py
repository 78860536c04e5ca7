"""Arrays that are read only when they are written, so that a conversion holds one tensor at a time."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from math import prod

import numpy as np

from mindlong.checkpoints.dtypes import FORMATS, format_of


@dataclass(frozen=True)
class Lazy:
    """A tensor still to be read. `dtype` is how it is stored; `read()` gives bfloat16 as float32, all else as it is."""

    shape: tuple[int, ...]
    dtype: str
    read: Callable[[], np.ndarray]

    @property
    def bytes(self) -> int:
        """Its size as stored."""
        return prod(self.shape) * FORMATS[self.dtype].size


def as_lazy(array: np.ndarray | Lazy) -> Lazy:
    """`array` behind the interface of Lazy."""
    return array if isinstance(array, Lazy) else Lazy(array.shape, format_of(array).name, lambda: array)


def total_bytes(arrays: Iterable[np.ndarray | Lazy]) -> int:
    """Bytes of all arrays as stored."""
    return sum(as_lazy(array).bytes for array in arrays)


def counted(arrays: Mapping[str, Lazy], done: Callable[[], object]) -> dict[str, Lazy]:
    """The same tensors, telling `done` each time one is read."""
    def telling(read: Callable[[], np.ndarray]) -> np.ndarray:
        array = read()
        done()
        return array

    return {name: replace(lazy, read=functools.partial(telling, lazy.read)) for name, lazy in arrays.items()}
