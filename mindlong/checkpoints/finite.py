"""NaN and infinity in weights, found tensor by tensor while these are read."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from math import prod
from typing import TYPE_CHECKING

import numpy as np

from mindlong.checkpoints.report import matches
from mindlong.utils.errors import InputFileError
from mindlong.utils.shown import shown

if TYPE_CHECKING:
    from mindlong.checkpoints.lazy import Lazy

PIECE = 1 << 20  # numbers looked at together
SHOWN = 8
_HALVES = {"float16": (0x7C00, 0x03FF), "uint16": (0x7F80, 0x007F)}  # exponent, fraction


class NotFinite(InputFileError):
    """Weights hold NaN or infinity; nothing right can be computed with them."""


def counts(array: np.ndarray) -> tuple[int, int]:
    """How many NaN and how many infinite numbers an array holds, those of float64 counted that
    float32 has not; uint16 are the bits of bfloat16, as weight files store it. Whole numbers hold
    none.
    """
    if array.dtype.kind not in "fc" and array.dtype.name not in _HALVES:
        return 0, 0
    flat, nan, infinite = array.reshape(-1), 0, 0
    for begin in range(0, flat.size, PIECE):
        piece = flat[begin : begin + PIECE]
        bad = _bad(piece)
        if bad.any():
            here = _nan(piece[bad])
            nan, infinite = nan + here, infinite + int(bad.sum()) - here
    return nan, infinite


def _bad(piece: np.ndarray) -> np.ndarray:
    if piece.dtype.name == "float64":  # networks compute in float32 at most
        return ~(np.abs(piece) <= np.finfo(np.float32).max)
    if piece.dtype.name not in _HALVES:
        return ~np.isfinite(piece)
    exponent, _ = _HALVES[piece.dtype.name]
    return (piece.view(np.uint16) & exponent) == exponent


def _nan(bad: np.ndarray) -> int:
    if bad.dtype.name not in _HALVES:
        return int(np.isnan(bad).sum())
    _, fraction = _HALVES[bad.dtype.name]
    return int(((bad.view(np.uint16) & fraction) != 0).sum())


def described(name: str, nan: int, infinite: int, numbers: int) -> str:
    """`'a.weight' (3 NaN, 1 infinite of 1,024 numbers)`."""
    words = [f"{nan:,} NaN"] * bool(nan) + [f"{infinite:,} infinite"] * bool(infinite)
    return f"{shown(name, most=200)!r} ({', '.join(words)} of {numbers:,} numbers)"


def refusal(what: str, found: Iterable[str], advice: str = "") -> NotFinite:
    """The error for tensors as `described`; `advice` ends the sentence."""
    found = list(found)
    more = f" and {len(found) - SHOWN} more tensors" if len(found) > SHOWN else ""
    return NotFinite(
        f"{what}: not finite: {', '.join(found[:SHOWN])}{more}. The file is damaged, or its training "
        f"diverged: take an earlier checkpoint{advice}"
    )


def check_arrays(arrays: Mapping[str, np.ndarray], what: str) -> None:
    """Raise NotFinite, with the names, where arrays hold NaN or infinity."""
    found = [(name, *counts(np.asarray(array)), np.size(array)) for name, array in arrays.items()]
    bad = [described(*row) for row in found if row[1] or row[2]]
    if bad:
        raise refusal(what, bad)


@dataclass
class Watch:
    """Looks at tensors as they are read.

    Attributes:
        what: the file, for the error.
        allow: patterns of names that may hold NaN or infinity.
        found: what was found, as sentences.
    """

    what: str
    allow: tuple[str, ...] = ()
    found: dict[str, str] = field(default_factory=dict)

    def over(self, arrays: Mapping[str, Lazy]) -> dict[str, Lazy]:
        """The same tensors, looked at when they are read. One under two names stays one."""
        made: dict[int, Lazy] = {}
        return {
            name: made.setdefault(
                id(lazy),
                replace(lazy, get=functools.partial(self._get, name, lazy.shape, lazy.get)),
            )
            for name, lazy in arrays.items()
        }

    def refuse(self, advice: str = "") -> None:
        """Raise NotFinite where something was found."""
        if self.found:
            raise refusal(self.what, self.found.values(), advice)

    def _get(self, name: str, shape: tuple[int, ...], get: Callable[[], np.ndarray]) -> np.ndarray:
        array = get()
        nan, infinite = counts(array)
        if (nan or infinite) and not matches(name, self.allow):
            self.found[name] = described(name, nan, infinite, prod(shape))
        return array
