"""Which tensors fit, are missing, left over or of another shape, as a table a person can act on."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from mindlong.utils.errors import nearest
from mindlong.utils.shown import shown

Shape = tuple[int, ...]
ROWS = 12  # shown of each kind


@dataclass(frozen=True)
class Report:
    """The comparison of what a network has with what a file holds.

    Attributes:
        mapped: names found with the right shape.
        missing: names of the network that the file does not hold.
        extra: names of the file that the network does not have.
        misshaped: name -> (shape in the network, shape in the file).
        allowed: missing or extra names that a pattern of the user lets pass.
    """

    mapped: tuple[str, ...]
    missing: tuple[str, ...]
    extra: tuple[str, ...]
    misshaped: dict[str, tuple[Shape, Shape]] = field(default_factory=dict)
    allowed: tuple[str, ...] = ()

    @property
    def fits(self) -> bool:
        """True where nothing is missing, left over or of another shape."""
        return not (self.missing or self.extra or self.misshaped)

    def summary(self) -> str:
        """The four counts in a line."""
        allowed = f", {len(self.allowed)} let pass" if self.allowed else ""
        return (
            f"{len(self.mapped)} mapped, {len(self.missing)} missing, {len(self.extra)} extra, "
            f"{len(self.misshaped)} misshaped{allowed}"
        )

    def lines(self, rows: int = ROWS) -> list[str]:
        """The counts, then what does not fit, each with the nearest name of the other side."""
        found = [self.summary()]
        found += _rows("missing", self.missing, self.extra, rows)
        found += _rows("extra", self.extra, (*self.missing, *self.mapped), rows)
        shapes = [
            f"{shown(name)}: {list(a)} needed, {list(b)} found"
            for name, (a, b) in self.misshaped.items()
        ]
        return found + _cut([f"  misshaped  {line}" for line in shapes], rows)


def compare(
    needed: Mapping[str, Shape], found: Mapping[str, Shape], allow: Sequence[str] = ()
) -> Report:
    """Compare names and shapes.

    Args:
        allow: patterns such as `control.*` (shell style) of names that may be missing or left over.
            A wrong shape is never let pass.
    """
    both = [name for name in needed if name in found]
    wrong = {
        n: (tuple(needed[n]), tuple(found[n])) for n in both if tuple(needed[n]) != tuple(found[n])
    }
    missing = [name for name in needed if name not in found]
    extra = [name for name in found if name not in needed]
    passed = [name for name in (*missing, *extra) if matches(name, allow)]
    gone = set(passed)
    return Report(
        tuple(n for n in both if n not in wrong),
        tuple(n for n in missing if n not in gone),
        tuple(n for n in extra if n not in gone),
        wrong,
        tuple(passed),
    )


def matches(name: str, patterns: Iterable[str]) -> bool:
    """True where a shell-style pattern covers the name."""
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def _rows(kind: str, names: Sequence[str], others: Sequence[str], rows: int) -> list[str]:
    lines = []
    for name in names[:rows]:
        close = nearest(name, _candidates(name, others))
        near = f"   (nearest: {shown(close[0])})" if close else ""
        lines.append(f"  {kind:<9}  {shown(name)}{near}")
    return lines + ([f"  {kind:<9}  ... and {len(names) - rows} more"] if len(names) > rows else [])


def _candidates(name: str, others: Sequence[str], most: int = 400) -> list[str]:
    """Those of `others` that share most words with `name`; comparing letter by letter is slow on
    thousands.
    """
    words = set(re.split(r"[._]", name))
    return sorted(others, key=lambda other: -len(words & set(re.split(r"[._]", other))))[:most]


def _cut(lines: list[str], rows: int) -> list[str]:
    return lines[:rows] + ([f"  ... and {len(lines) - rows} more"] if len(lines) > rows else [])
