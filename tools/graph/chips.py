"""Which type each chip computes an operator of a compiled graph in."""

from __future__ import annotations

from collections import Counter

from graph.ir import Operator

# Products run on the cube, everything else on the vector unit, which keeps the type of the graph.
PRODUCTS = ("convolution", "matmul")
WALKED = (*PRODUCTS, "attention", "softmax", "reduction")
RULES = {  # (chip, type in the graph) -> what its cube does, under the settings of ops/device.py
    ("910A", "float32"): "float16, sums float32 (allow_fp32_to_fp16)",
    ("910A", "float16"): "float16, sums float32",
    ("910A", "bfloat16"): "refused",
    ("910B", "float32"): "float32 (HF32 with env.hf32)",
    ("910B", "float16"): "float16, sums float32",
    ("910B", "bfloat16"): "bfloat16, sums float32",
}


def computes(kind: str, dtype: str, chip: str) -> str:
    """What `chip` computes an operator of that kind in, whose inputs are `dtype` in the graph."""
    if kind in PRODUCTS:
        return RULES.get((chip, dtype), dtype)
    return "refused" if (chip, dtype) == ("910A", "bfloat16") else dtype


def type_lines(found: list[Operator]) -> list[str]:
    """Products, attentions and reductions by type, and what each chip makes of it: Markdown."""
    counted = Counter((op.kind, op.dtype) for op in found if op.kind in WALKED)
    lines = ["| kind | type in the graph | operators | 910A | 910B |", "|---|---|---|---|---|"]
    for (kind, dtype), count in sorted(counted.items()):
        chips = " | ".join(computes(kind, dtype, chip) for chip in ("910A", "910B"))
        lines.append(f"| {kind} | {dtype} | {count} | {chips} |")
    return lines
