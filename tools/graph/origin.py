"""Where the operators of a compiled graph come from: the cell of the network and the line of ours,
as MindSpore's dump notes them behind each node.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from graph.ir import Operator

WAYS = ("line", "scope")
_SCOPE = re.compile(r"# Fullname with scope: \(([^)]*)\)")
_LINE = re.compile(r"# In file \S*/mindlong/([\w/]+\.py):(\d+)[~,]")  # "line," or "first~last,"
_HELPERS = ("ops/precision.py",)  # called from everywhere: who calls says more
_OUTER = ("Gradients", "Default", "loss", "network")  # what stands round every network


@dataclass(frozen=True)
class Origin:
    """What made an operator.

    Attributes:
        scope: the path of cells, "entry/norm/Transpose-op0" without the numbers of layers; "".
        line: the innermost line of the package, "ops/norm.py:103", but for what is called from
            everywhere; "" for what is not ours.
        backward: it is part of the gradient.
    """

    scope: str = ""
    line: str = ""
    backward: bool = False


def origin(notes: Sequence[str]) -> Origin:
    """The origin, from the comments behind a node."""
    scope = next((m.group(1) for m in map(_SCOPE.search, notes) if m), "")
    lines = [m.groups() for m in map(_LINE.search, notes) if m]
    telling = [line for line in lines if line[0] not in _HELPERS] or lines
    line = ":".join(telling[-1]) if telling else ""
    return Origin(_cells(scope), line, scope.startswith("Gradients/"))


def _cells(scope: str) -> str:
    """ "Default/network-UNet/down-CellList/0-Layer/res-Res/Mul-op3" -> "down/Layer/res-Res"."""
    parts = [part.partition("-") for part in scope.split("/")[:-1]]
    kept = [kind if name.isdigit() else name for name, _, kind in parts if name not in _OUTER]
    last = parts[-1] if parts else ("", "", "")
    if kept and last[2] and not last[0].isdigit():
        kept[-1] = f"{last[0]}-{last[2]}"
    return "/".join(kept)


def by_origin(found: Sequence[Operator], way: str) -> list[str]:
    """The operators that are given by what made them, the most bytes first: Markdown.

    Args:
        way: of WAYS.
    """
    groups: dict[tuple[str, str, str], list[int]] = defaultdict(list)
    for op in found:
        direction = "backward" if op.origin.backward else "forward"
        groups[getattr(op.origin, way) or "?", direction, op.name].append(op.moved)
    whole = sum(op.moved for op in found) or 1
    out = [f"| {way} | direction | operator | operators | MB moved | share |", "|---" * 6 + "|"]
    for key, moved in sorted(groups.items(), key=lambda item: -sum(item[1])):
        size = sum(moved)
        cells = (*key, str(len(moved)), f"{size / 1e6:.2f}", f"{size / whole:.0%}")
        out.append(f"| {' | '.join(cells)} |")
    return out
