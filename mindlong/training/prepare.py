"""Precision and recomputation: properties of the network that are set before its graph is built."""

from __future__ import annotations

from collections.abc import Iterator

import mindspore as ms
from mindspore import nn

from mindlong.config.train_options import TrainOptions
from mindlong.utils.errors import ConfigError


def prepare(network: nn.Cell, options: TrainOptions) -> None:
    """Set the compute type of `network` and which of its cells are computed again in the backward
    pass.

    fp16 reaches every cell of the network; parameters stay float32. A cell whose class says
    `float32 = True` computes in float32.

    Raises:
        ConfigError: recompute, for a network without blocks.
    """
    if options.precision == "fp16":
        network.to_float(ms.float16)
        for _, cell in network.cells_and_names():
            if getattr(cell, "float32", False):
                cell.to_float(ms.float32)
    if options.recompute:
        found = list(blocks(network))
        if not found:
            raise ConfigError(
                "train.recompute is true, but the network has no list of blocks to compute again"
            )
        for cell in found:
            cell.recompute()


def blocks(network: nn.Cell) -> Iterator[nn.Cell]:
    """The outermost cells that stand in lists, lists of lists opened: the blocks of a UNet."""
    for child in network.cells():
        if isinstance(child, nn.CellList):
            yield from _items(child)
        else:
            yield from blocks(child)


def _items(cells: nn.CellList) -> Iterator[nn.Cell]:
    for cell in cells:
        if isinstance(cell, nn.CellList):
            yield from _items(cell)
        else:
            yield cell
