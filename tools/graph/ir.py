"""Reads the text of a compiled graph (MindSpore's .ir dump of the pass `validate`): operators,
shapes, bytes.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass

from graph.origin import Origin, origin

_NODE = re.compile(r"^\s+%\d+\([^)]*\) = (?:PrimFunc_|PrimitivePy\.)?(\w+)\(")
_TYPES = re.compile(r"^\s+: \((.*)\) -> \((.*)\)\s*$")
_TENSOR = re.compile(r"Tensor\[([A-Za-z]+)(\d*)\]>?, \(([\d, ]*)\)")
_TUPLE = re.compile(
    r"Tuple\[Tensor\[([A-Za-z]+)(\d*)\][^<>]*?TupleShape\(([\d, ()]*)\)"
)  # of tensors of one type
_BYTES = {"Bool": 1, "Complex": 1}

# No kernel: bookkeeping, or another view of the same memory.
FREE = {
    "Load",
    "Depend",
    "UpdateState",
    "MakeTuple",
    "TupleGetItem",
    "Return",
    "Reshape",
    "ExpandDims",
    "Squeeze",
    "Partial",
    "make_tuple",
    "tuple_getitem",
    "return",
    "StopGradient",
    "Flatten",
    "Switch",
    "Call",
    "Shape",
    "ListGetItem",
}
KINDS = {  # kind: beginnings of operators' names
    "transpose": ("Transpose", "TransposeD"),
    "cast": ("Cast",),
    "strided slice": ("StridedSlice", "Slice"),
    "copy": (
        "Concat",
        "Stack",
        "Split",
        "Unstack",
        "Tile",
        "Gather",
        "Broadcast",
        "Pad",
        "TensorMove",
        "Fill",
        "Zeros",
        "Ones",
        "Repeat",
        "Select",
        "Masked",
        "ScatterNd",
        "Tensor",
        "Roll",
        "Chunk",
        "Reverse",
        "Resize",
        "Upsample",
        "Expand",
    ),
    "convolution": ("Conv",),
    "matmul": ("MatMul", "BatchMatMul", "Dense", "BatchMatMulExt"),
    "attention": ("FlashAttention", "Custom"),
    "softmax": ("Softmax", "LogSoftmax"),
    "reduction": (
        "Reduce",
        "Sum",
        "Mean",
        "LayerNorm",
        "GroupNorm",
        "BatchNorm",
        "L2",
        "BiasAddGrad",
    ),
    "update": ("Assign", "Apply", "Adam"),
}
HOSTILE = ("transpose", "cast", "strided slice", "copy")  # what moves bytes and computes nothing


@dataclass(frozen=True)
class Operator:
    """A node that is a kernel: its name, kind, the bytes it reads and writes, and the shape of its
    largest tensor. `dtype` is that of its first tensor, "" where it reads none; `reads` and
    `writes` are the shapes of its tensors, `origin` says which of our lines made it.
    """

    name: str
    kind: str
    moved: int
    shape: tuple[int, ...]
    dtype: str = ""
    reads: tuple[tuple[int, ...], ...] = ()
    writes: tuple[tuple[int, ...], ...] = ()
    origin: Origin = Origin()


def operators(text: str) -> list[Operator]:
    """The kernels of a graph, in order."""
    found = (_operator(name, types, notes) for name, types, notes in _nodes(text))
    return [op for op in found if op.name not in FREE]


def _nodes(text: str) -> Iterator[tuple[str, tuple[str, str], list[str]]]:
    """Each node's name, the types that it reads and writes, and the comments behind it."""
    name, types, notes = None, None, []
    for line in text.splitlines():
        node = _NODE.match(line)
        if node or line.startswith("}"):  # a constant of many rows begins lines too
            if name and types:
                yield name, types, notes
            name, types, notes = (node.group(1) if node else None), None, []
        elif name and types is None:
            found = _TYPES.match(line)
            types = found.groups() if found else None
        elif name:
            notes.append(line)
    if name and types:
        yield name, types, notes


def kind_of(name: str) -> str:
    """The kind of an operator by its name; "elementwise" for what is in no list."""
    return next((kind for kind, starts in KINDS.items() if name.startswith(starts)), "elementwise")


def _operator(name: str, types: tuple[str, str], notes: list[str]) -> Operator:
    reads, writes = (_tensors(text) for text in types)
    largest = max(reads + writes, key=lambda t: t[0], default=(0, ()))
    return Operator(
        name,
        kind_of(name),
        sum(size for size, _ in reads + writes),
        largest[1],
        _first_type(types[0]),
        tuple(shape for _, shape in reads),
        tuple(shape for _, shape in writes),
        origin(notes),
    )


def _first_type(inputs: str) -> str:
    found = _TENSOR.search(inputs)
    if not found:
        return ""
    base = "bfloat" if found.group(1).startswith("BF") else found.group(1).lower()
    return base + found.group(2)


def _tensors(types: str) -> list[tuple[int, tuple[int, ...]]]:
    """Bytes and shape of every tensor of a list of types."""
    found = _TENSOR.findall(types)
    found += [
        (base, bits, shape)
        for base, bits, shapes in _TUPLE.findall(types)
        for shape in re.findall(r"\(([^()]*)\)", shapes)
    ]
    out = []
    for base, bits, shape in found:
        sizes = tuple(int(n) for n in shape.replace(" ", "").split(",") if n)
        out.append((math.prod(sizes) * (_BYTES.get(base, int(bits or 8) // 8)), sizes))
    return out
