"""What may be missing in general, where it cannot be."""

from __future__ import annotations

from typing import TypeVar

T = TypeVar("T")


def needed(value: T | None, what: str) -> T:
    """`value`, which is there. Raises ValueError, a fault of ours and not of the user, where it is
    not.
    """
    if value is None:
        raise ValueError(f"{what} is missing")
    return value
