"""Precision and recomputation: properties of the network that are set before its graph is built."""

from __future__ import annotations

from collections.abc import Iterator

from mindspore import nn

from mindlong.config.train_options import PRECISIONS, TrainOptions
from mindlong.ops.precision import check_chip, set_types
from mindlong.utils.errors import ConfigError


def prepare(network: nn.Cell, options: TrainOptions) -> None:
    """Set the type that the operators of `network` compute in, and which of its cells are computed
    again in the backward pass.

    Parameters stay float32 whatever the type.

    Raises:
        ConfigError: a type that the chip does not have; recompute, for a network without blocks.
    """
    check_chip("train.precision", options.precision)
    if options.precision != "fp32":
        set_types(network, PRECISIONS[options.precision])
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
