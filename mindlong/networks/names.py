"""How the tensors of a network are called here and in the original's state dict.

A family yields a list of `Entry`, one per parameter of our cell. Only names and shapes differ
between the two sides (an axis of length one more or less), never the order of the numbers, so a
conversion is a renaming and a reshape, in both directions. Three exceptions. An original may stack
several of our tensors on axis 0 of one of its own (open_clip's fused query, key and value
projection): then several entries name one source, each with the `rows` that are its own; together
they cover it. An original may multiply from the other side (open_clip's projections): its
matrix is ours `transposed`. And a convolution over time may be kept as one over the channels of
several frames: `axes` is the order of the source's axes in ours.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import prod

import numpy as np


@dataclass(frozen=True)
class Entry:
    """One parameter: our cell's name for it, the original's key, and the shape each side stores."""

    ours: str
    source: str
    our_shape: tuple[int, ...]
    source_shape: tuple[int, ...]
    ties: tuple[str, ...] = ()  # further keys under which the original lists the same tensor
    rows: tuple[int, int] | None = (
        None  # first and last + 1 row of the source that are ours; None: all
    )
    transposed: bool = False  # a matrix with its axes exchanged; such an entry has no rows
    more_rows: tuple[tuple[int, int], ...] = ()  # further rows that are ours, behind `rows`
    axes: tuple[int, ...] = ()  # the source's axes in our order, before ours is reshaped; no rows

    @property
    def ranges(self) -> tuple[tuple[int, int], ...]:
        """The ranges of rows that are ours, in our order; empty where all are."""
        return () if self.rows is None else (self.rows, *self.more_rows)


def same(ours: str, source: str, *shape: int) -> Entry:
    """A tensor of one shape on both sides."""
    return Entry(ours, source, shape, shape)


def pair(ours: str, source: str, *shape: int) -> list[Entry]:
    """A weight of `shape` and the bias of its rows; of one axis, those of a norm."""
    return [
        same(f"{ours}.weight", f"{source}.weight", *shape),
        same(f"{ours}.bias", f"{source}.bias", shape[0]),
    ]


def count(entries: Iterable[Entry]) -> int:
    """Numbers in the tensors; nothing is allocated."""
    return sum(prod(entry.our_shape) for entry in entries)


def our_array(entry: Entry, source: np.ndarray) -> np.ndarray:
    """The original's tensor as our parameter: a view where numpy can give one."""
    if entry.transposed:
        return np.ascontiguousarray(source.T)
    if entry.axes:
        return np.ascontiguousarray(source.transpose(entry.axes)).reshape(entry.our_shape)
    if not entry.more_rows:
        rows = source if entry.rows is None else source[slice(*entry.rows)]
        return rows.reshape(entry.our_shape)
    rows = np.concatenate([source[slice(*each)] for each in entry.ranges])
    return rows.reshape(entry.our_shape)


def source_array(entries: Iterable[Entry], ours: Mapping[str, np.ndarray]) -> np.ndarray:
    """The original's tensor from our parameters. `entries` are all that name this one source (see
    `by_source`).
    """
    parts = list(entries)
    if parts[0].transposed:
        return np.ascontiguousarray(ours[parts[0].ours].T)
    if parts[0].axes:
        return _axes_back(parts[0], ours[parts[0].ours])
    if parts[0].rows is None:
        return ours[parts[0].ours].reshape(parts[0].source_shape)
    pieces: dict[tuple[int, int], np.ndarray] = {}
    for part in parts:
        cuts = np.cumsum([last - first for first, last in part.ranges])[:-1]
        pieces |= dict(zip(part.ranges, np.split(ours[part.ours], cuts), strict=True))
    joined = np.concatenate([pieces[place] for place in sorted(pieces)])
    return joined.reshape(parts[0].source_shape)


def _axes_back(entry: Entry, ours: np.ndarray) -> np.ndarray:
    moved = ours.reshape([entry.source_shape[axis] for axis in entry.axes])
    return np.ascontiguousarray(moved.transpose(np.argsort(entry.axes)))


def by_source(entries: Iterable[Entry]) -> dict[str, list[Entry]]:
    """The entries of each source key, in the order of the walk."""
    groups: dict[str, list[Entry]] = {}
    for entry in entries:
        groups.setdefault(entry.source, []).append(entry)
    return groups
