"""Tensors that are read only when they are written, so that a conversion holds one at a time."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from math import prod

import numpy as np

from mindlong.checkpoints.dtypes import FORMATS, Format, decode, encode, format_of


@dataclass(frozen=True)
class Lazy:
    """A tensor still to be read.

    Attributes:
        dtype: the format it is, or is to be, stored in.
        get: gives its numbers as a file of that format stores them (bfloat16 as uint16 bits), or as
            plain numbers that are cast to the format when they are written.
    """

    shape: tuple[int, ...]
    dtype: str
    get: Callable[[], np.ndarray]

    @property
    def bytes(self) -> int:
        """Its size as stored."""
        return prod(self.shape) * FORMATS[self.dtype].size

    def read(self) -> np.ndarray:
        """Its numbers; bfloat16 comes as float32."""
        array = self.get()
        return decode(array, FORMATS["bfloat16"]) if array.dtype == np.uint16 else array

    def stored(self, form: Format, name: str) -> np.ndarray:
        """Its numbers as a file of format `form` stores them. Raises UserError where one is beyond
        its range.
        """
        array = self.get() if form.name == self.dtype else self.read()
        return encode(array, form, name).reshape(self.shape)


def as_lazy(array: np.ndarray | Lazy) -> Lazy:
    """`array` behind the interface of Lazy."""
    return (
        array
        if isinstance(array, Lazy)
        else Lazy(array.shape, format_of(array).name, lambda: np.asarray(array))
    )


def total_bytes(arrays: Iterable[np.ndarray | Lazy]) -> int:
    """Bytes of all arrays as stored."""
    return sum(as_lazy(array).bytes for array in arrays)


def counted(arrays: Mapping[str, Lazy], done: Callable[[], object]) -> dict[str, Lazy]:
    """The same tensors, telling `done` each time one is read. One tensor under two names stays
    one.
    """
    made: dict[int, Lazy] = {}
    return {
        name: made.setdefault(id(lazy), replace(lazy, get=functools.partial(_tell, lazy.get, done)))
        for name, lazy in arrays.items()
    }


def _tell(get: Callable[[], np.ndarray], done: Callable[[], object]) -> np.ndarray:
    array = get()
    done()
    return array
