"""How the tensors of a network are called here and in the original's state dict.

A family yields a list of `Entry`, one per parameter of our cell. Only names and shapes differ between the two sides (an axis of length
one more or less), never the order of the numbers, so a conversion is a renaming and a reshape, in both directions.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Entry:
    """One parameter. `ours` is our cell's parameter name, `source` the original's key; shapes as each side stores it."""

    ours: str
    source: str
    our_shape: tuple[int, ...]
    source_shape: tuple[int, ...]
    ties: tuple[str, ...] = ()  # further keys under which the original lists the same tensor
