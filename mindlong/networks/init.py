"""First values of a network's parameters, a function of (seed, parameter name) only."""

from __future__ import annotations

import numpy as np
from mindspore import nn

from mindlong.utils import rng


def initialise(cell: nn.Cell, seed: int) -> nn.Cell:
    """Give every parameter of `cell` its first value and return the cell.

    Every cell in the tree that has `init_weights(draw)` is called once; `draw(leaf)` is the
    generator of the parameter called `leaf` in that cell. Two networks that share a parameter name
    share its first value, whatever else they hold.
    """
    for name, part in cell.cells_and_names():
        if hasattr(part, "init_weights"):
            part.init_weights(_drawer(seed, f"{name}." if name else ""))
    return cell


def _drawer(seed: int, prefix: str):
    def draw(leaf: str) -> np.random.Generator:
        return rng.generator(seed, "init", prefix + leaf)

    return draw
