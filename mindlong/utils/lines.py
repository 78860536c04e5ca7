"""Text that commands print."""

from __future__ import annotations

from collections.abc import Mapping


def opening_lines(rows: Mapping[str, object]) -> list[str]:
    """The first lines of a run, aligned."""
    width = max(map(len, rows))
    return [f"{key:<{width}}  {value}" for key, value in rows.items()]


def count(number: float) -> str:
    """A number a person can read: 35.7 M, 1.2 G."""
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if abs(number) >= size:
            return f"{number / size:.3g} {unit}"
    return f"{number:.3g} "
