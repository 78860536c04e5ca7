"""What a network that can be run alone on named arrays says of itself: its name, its inputs, how it
is built.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from mindspore import nn

from mindlong.networks.names import Entry

Arrays = Mapping[str, np.ndarray]
KINDS = {"float": np.float32, "int": np.int32, "bool": np.bool_, "number": np.float64}


@dataclass(frozen=True)
class Input:
    """An array that a network takes: its axes as letters ("" is one number, "BD|BFD" either), what
    it holds and is.
    """

    name: str
    axes: str
    kind: str  # of KINDS
    about: str
    needed: bool = False


@dataclass(frozen=True)
class Network:
    """One network of a family.

    Attributes:
        inputs: what it takes; the first is the one that `grad_x` belongs to.
        check: (model, arrays) -> the length that each axis letter must have where the model fixes
            it; raises InputFileError where the arrays do not go together.
        output: (model, arrays) -> the shape of the output.
        build: (model, arrays) -> the cell, and the names of the arrays that its construct takes, in
            order.
        entries: (model, layout) -> the names of its tensors on both sides; "ours" as the built
            cell's parameters are called, the originals' in one of their ways to name tensors ("":
            the usual one).
    """

    family: str
    name: str
    inputs: tuple[Input, ...]
    check: Callable[[Any, Arrays], dict[str, int]]
    output: Callable[[Any, Arrays], tuple[int, ...]]
    build: Callable[[Any, Arrays], tuple[nn.Cell, Sequence[str]]]
    entries: Callable[[Any, str], list[Entry]]
    part: str = "unet"  # the network of a pipeline that it is, or is a half of
