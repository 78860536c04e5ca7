"""The least time that a graph's operators take on a chip, by the roofline: each as long as its
products at the cube's peak or its bytes at the memory's, whichever is longer.

Every operator is a kernel by itself, as at the jit level O0. The peaks are vendor figures, of
halves; nothing here was measured on an NPU.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from graph.ir import Operator


@dataclass(frozen=True)
class Chip:
    """Peaks of a chip.

    Attributes:
        flops: products and sums of halves a second, the cube's.
        bandwidth: bytes a second, the memory's.
    """

    flops: float
    bandwidth: float


# Cores x clock x 8192 (4096 products and sums a cycle), of the platform files of CANN 8.1 for the
# 910A (30 cores) and the 910B3 (20); the memories' rates as the vendor names them.
CHIPS = {
    "910a": Chip(30 * 0.90e9 * 8192, 1.2e12),
    "910b": Chip(20 * 1.80e9 * 8192, 1.6e12),
}
PARTS = {  # beginnings of the files of lines: what the operators made there are part of
    "ops/attention/": "attention",
    "ops/norm": "norms",
    "ops/linear.py": "linear layers",
    "ops/conv.py": "convolutions",
    "ops/activation.py": "activations",
}


@dataclass
class Cost:
    """What the operators of one part take together."""

    operators: int = 0
    flops: float = 0.0
    moved: int = 0
    seconds: float = 0.0
    kinds: dict[str, float] = field(default_factory=lambda: defaultdict(float))


def flops(op: Operator) -> float:
    """Products and sums of an operator on the cube; 0 for what runs on the vector unit."""
    if op.kind == "matmul":
        (left, *_), out = op.reads, op.writes[0]
        return 2.0 * math.prod(out) * (left[-1] * left[-2] // out[-2])
    if op.kind == "convolution":
        return _convolution(op)
    if op.kind == "attention":
        (*outer, queries, width), keys = op.reads[0], op.reads[1][-2]
        products = 5 if op.name.endswith("Grad") else 2  # a gradient makes the scores again
        return 2.0 * products * math.prod(outer) * queries * keys * width
    return 0.0


def _convolution(op: Operator) -> float:
    """A convolution, or its gradient: each number of the result's side times a filter's."""
    if op.name.startswith("Conv2DBackpropFilter"):
        result, weight = op.reads[0], op.writes[0]
    elif op.name.startswith(("Conv2DBackpropInput", "Conv2DTranspose")):
        result, weight = op.reads[0], op.reads[1]
    else:
        result, weight = op.writes[0], op.reads[1]
    return 2.0 * math.prod(result) * math.prod(weight[1:])


def seconds(op: Operator, chip: Chip) -> float:
    """The least time that the operator takes."""
    return max(flops(op) / chip.flops, op.moved / chip.bandwidth)


def part_of(op: Operator) -> str:
    """What of a network an operator belongs to, by the line that made it."""
    line = op.origin.line
    found = next((part for start, part in PARTS.items() if line.startswith(start)), "")
    return found or "skips and the rest"


def costs(found: Sequence[Operator], chip: str) -> dict[str, Cost]:
    """What each part takes, the costliest first.

    Args:
        chip: of CHIPS.
    """
    parts: dict[str, Cost] = defaultdict(Cost)
    for op in found:
        cost, spent = parts[part_of(op)], seconds(op, CHIPS[chip])
        cost.operators += 1
        cost.flops += flops(op)
        cost.moved += op.moved
        cost.seconds += spent
        cost.kinds[op.kind] += spent
    return dict(sorted(parts.items(), key=lambda item: -item[1].seconds))


def roofline_lines(found: Sequence[Operator], chip: str) -> list[str]:
    """The parts by time, and what in each takes it: Markdown."""
    parts = costs(found, chip)
    whole = sum(cost.seconds for cost in parts.values()) or 1.0
    peak = CHIPS[chip]
    out = [
        f"Least time on a {chip.upper()}, each operator by itself, by vendor figures "
        f"({peak.flops / 1e12:.0f} TFLOP/s of halves, {peak.bandwidth / 1e12:.1f} TB/s); not measured:",
        "| cost | operators | TFLOP | GB moved | ms | share | of it |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, cost in parts.items():
        most = sorted(cost.kinds.items(), key=lambda item: -item[1])[:3]
        inside = ", ".join(f"{kind} {spent / cost.seconds:.0%}" for kind, spent in most)
        out.append(
            f"| {name} | {cost.operators} | {cost.flops / 1e12:.3f} | {cost.moved / 1e9:.2f} | "
            f"{cost.seconds * 1e3:.2f} | {cost.seconds / whole:.0%} | {inside} |"
        )
    out.append(f"| **all** | {len(found)} | | | {whole * 1e3:.2f} | | |")
    return [*out, "", f"The three largest costs: {', '.join(list(parts)[:3])}."]
