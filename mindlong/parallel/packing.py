"""A parcel as one run of bytes: everybody knows from the plan how much each process packs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mindlong.parallel.sync import Arrival, Parcel

WORD = 4  # bytes that each array is filled up to
Shape = tuple[tuple[int, ...], np.dtype]


def contents(parcel: Parcel) -> list[np.ndarray]:
    """The arrays of a parcel that travel, in the order in which they are packed."""
    numbers = [] if parcel.numbers is None else [parcel.numbers]
    if parcel.world is None or parcel.plan.quiet:
        return numbers
    sides = [side for side in (parcel.left, parcel.right) if side is not None]
    return [*numbers, parcel.world, *sides]


def shapes(parcel: Parcel, rank: int) -> list[Shape]:
    """Shape and type of what process `rank` packs, when this process sends `parcel`."""
    plan, made = parcel.plan, []
    if parcel.numbers is not None:
        made = [((parcel.numbers_of(rank), *parcel.numbers.shape[1:]), parcel.numbers.dtype)]
    if parcel.world is None or plan.quiet:
        return made
    unit, dtype = parcel.world.shape[1:], parcel.world.dtype
    counts = [len(plan.world[rank])]
    if parcel.left is not None:  # else they travel apart
        counts += [len(plan.left[rank]), len(plan.right[rank])]
    return [*made, *(((count, *unit), dtype) for count in counts)]


def size_of(parts: Sequence[Shape]) -> int:
    """Bytes of arrays of these shapes, packed."""
    return sum(_filled(int(np.prod(shape)) * dtype.itemsize) for shape, dtype in parts)


def _filled(size: int) -> int:
    return -(-size // WORD) * WORD


def pack(arrays: Sequence[np.ndarray], into: np.ndarray) -> None:
    """Write arrays one behind the other into bytes, uint8 (n,)."""
    place = 0
    for array in arrays:
        into[place : place + array.nbytes].view(array.dtype).reshape(array.shape)[...] = array
        place += _filled(array.nbytes)


def unpack(held: np.ndarray, parts: Sequence[Shape]) -> list[np.ndarray]:
    """Views of the arrays in bytes, uint8 (n,)."""
    made, place = [], 0
    for shape, dtype in parts:
        size = int(np.prod(shape)) * dtype.itemsize
        made.append(held[place : place + size].view(dtype).reshape(shape))
        place += _filled(size)
    return made


def arrival(parcel: Parcel, rank: int, everybody: Sequence[Sequence[np.ndarray]]) -> Arrival:
    """What process `rank` is sent, where `everybody[r]` holds the arrays that process r packed."""
    numbers = None
    if parcel.numbers is not None:
        numbers = [row[0] for row in everybody]
    if parcel.world is None:
        return Arrival(numbers, None, None, None)
    if parcel.plan.quiet:
        none = parcel.world[:0]
        return Arrival(numbers, [none] * len(everybody), none, none)
    at = 0 if numbers is None else 1
    world = [row[at] for row in everybody]
    if len(everybody[rank]) == at + 1:  # the others travel apart
        return Arrival(numbers, world, None, None)
    left = everybody[rank - 1][at + 2] if rank else None
    right = everybody[rank + 1][at + 1] if rank + 1 < len(everybody) else None
    return Arrival(numbers, world, left, right)
