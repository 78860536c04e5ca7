"""Networks that are built when they are first used, called with tensors and let go again."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping

import mindspore as ms
import numpy as np
from mindspore import Tensor, nn

from mindlong.ops.graph_cache.calls import call
from mindlong.utils.progress import announced

Builder = Callable[[], nn.Cell]


class Cells:
    """Networks by their roles. They need not all be in memory: each is built at its first use.

    Args:
        builders: role -> how that network is made and filled.
        slow: the role of the network whose compilation is announced.

    Attributes:
        keep: networks are not let go; whoever holds them calls them again.
    """

    def __init__(self, builders: Mapping[str, Builder], slow: str = "network") -> None:
        self.builders, self.slow, self.keep = dict(builders), slow, False
        self._cells: dict[str, nn.Cell] = {}
        self._compiled: set[tuple[Hashable, ...]] = set()

    def cell(self, role: str) -> nn.Cell | None:
        """A network that is in memory, None where it is not."""
        return self._cells.get(role)

    def release(self, role: str) -> None:
        """Let a network go, if the model is not kept; it is built again when it is used again."""
        if self.keep:
            return
        self._cells.pop(role, None)
        self._compiled = {key for key in self._compiled if key[0] != role}

    def _cell(self, role: str) -> nn.Cell:
        if role not in self._cells:
            self._cells[role] = self.builders[role]().set_train(False)
        return self._cells[role]

    def _about(self) -> str:
        """What else the announcement of a graph says."""
        return ""

    def _run(self, role: str, cell: nn.Cell, *inputs: Tensor) -> np.ndarray:
        """What `cell`, which is the network of that role or goes with it, gives."""
        key = (role, *(tensor.shape for tensor in inputs))
        if key in self._compiled:
            return call(cell, *inputs).asnumpy()
        self._compiled.add(key)
        if role != self.slow or ms.get_context("mode") != ms.GRAPH_MODE:
            return call(cell, *inputs).asnumpy()
        with announced(
            f"preparing the graph for latents {tuple(inputs[0].shape)}{self._about()}, and its first step"
        ):
            return call(cell, *inputs).asnumpy()


class Latest:
    """Arrays that were made lately, by key: the one that was asked for longest ago goes first."""

    def __init__(self, most: int) -> None:
        self.most = most
        self._held: dict[Hashable, np.ndarray] = {}

    def of(self, key: Hashable, make: Callable[[], np.ndarray]) -> np.ndarray:
        """The array of `key`, made if it is not held."""
        found = self._held.pop(key, None)
        self._held[key] = make() if found is None else found
        while len(self._held) > self.most:
            self._held.pop(next(iter(self._held)))
        return self._held[key]

    def clear(self) -> None:
        """Have each made again."""
        self._held.clear()
