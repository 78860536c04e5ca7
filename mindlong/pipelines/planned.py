"""What a pipeline's plan gives: the rows of a dry run, sentences for the user, the memory it needs.

A run makes its plan before it starts, so that both refuse the same things with the same words.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Planned:
    """A run worked out, without MindSpore.

    Attributes:
        rows: of the dry run, in order.
        notes: sentences on what will be cut, ignored or badly made.
        memory: bytes that a process needs at its peak, an estimate; 0: next to nothing.
        lower: the keys that need less when lowered, in words.
    """

    rows: Mapping[str, str]
    notes: tuple[str, ...] = ()
    memory: float = 0.0
    lower: str = "frames, size or batch"
