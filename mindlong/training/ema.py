"""Averaged weights: an exponential moving average of the trained ones."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

import mindspore as ms
import numpy as np
from mindspore import Parameter, ParameterTuple, Tensor, nn, ops

if TYPE_CHECKING:
    from mindlong.config.train_options import TrainOptions


class _Average(nn.Cell):
    """construct(decay, rest): average = decay * average + rest * weight, for every pair."""

    def __init__(self, averages: ParameterTuple, weights: ParameterTuple) -> None:
        super().__init__(auto_prefix=False)
        self.averages, self.weights, self.each = averages, weights, ops.HyperMap()

    def construct(self, decay, rest):
        return self.each(ops.partial(self._one, decay, rest), self.averages, self.weights)

    def _one(self, decay, rest, average, weight):
        return ops.depend(True, ops.assign(average, average * decay + weight * rest))


class Ema:
    """Averages of `weights`, updated every `ema_every` steps; a plain copy of the weights until
    step `ema_start`.

    Args:
        weights: what is averaged.
        options: the `train` section.
        averages: parameters of another network to keep the averages in, one for each weight; None:
            new ones.

    Attributes:
        averages: those, or parameters named `ema.NAME`.
    """

    def __init__(
        self,
        weights: Sequence[Parameter],
        options: TrainOptions,
        averages: Sequence[Parameter] | None = None,
    ) -> None:
        self.options = options
        self.weights = ParameterTuple(weights)
        held = self.weights.clone("ema") if averages is None else ParameterTuple(averages)
        self.averages = held
        for p in self.averages:
            p.requires_grad = False
        self._average = _Average(self.averages, self.weights)

    def start(self) -> None:
        """Make the averages a copy of the weights as they are."""
        _assign(self.averages, copies(self.weights))

    def update(self, step: int) -> None:
        """Take in the weights after update number `step` (the first is 1)."""
        if step % self.options.ema_every:
            return
        decay = self.options.ema_decay if step > self.options.ema_start else 0.0
        if decay == 0.0:
            self.start()
        else:
            self.average(decay)

    def average(self, decay: float) -> None:
        """Take in the weights as they are."""
        self._average(Tensor(decay, ms.float32), Tensor(1.0 - decay, ms.float32))

    def state(self) -> dict[str, np.ndarray]:
        """The averages under the names of the weights they average."""
        return {
            weight.name: average.asnumpy()
            for weight, average in zip(self.weights, self.averages, strict=True)
        }

    def swapped_in(self) -> contextlib.AbstractContextManager[None]:
        """Within the block the network computes with the averages; afterwards with its own weights,
        bit for bit.
        """
        return Swap(self.weights, lambda: copies(self.averages)).swapped_in()


class Swap:
    """Other values for `parameters` for a while: those that `values()` gives, in their order."""

    def __init__(
        self, parameters: Sequence[Parameter], values: Callable[[], Sequence[np.ndarray]]
    ) -> None:
        self.parameters, self.values = parameters, values

    @contextlib.contextmanager
    def swapped_in(self) -> Iterator[None]:
        """Within the block the others; afterwards their own, bit for bit."""
        own = copies(self.parameters)
        _assign(self.parameters, self.values())
        try:
            yield
        finally:
            _assign(self.parameters, own)


def copies(parameters: Sequence[Parameter]) -> list[np.ndarray]:
    """The values of `parameters`, not views of them."""
    return [np.array(p.asnumpy()) for p in parameters]


def _assign(parameters: Sequence[Parameter], arrays: Sequence[np.ndarray]) -> None:
    for p, array in zip(parameters, arrays, strict=True):
        p.set_data(Tensor(array))
