"""Moments and averages in the memory of the host, updated there (arXiv 2101.06840): the device
holds weights and gradients alone.

They are numpy arrays. One after the other they are lent to the operator that updates on a device
too, here on the host's processor, so that on a CPU the bits are those of an update without; what it
rounds depends on the cores that it may use, which numpy could not follow.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

import numpy as np
from mindspore import Parameter, Tensor

from mindlong.config.train_options import TrainOptions
from mindlong.ops.launch import launch
from mindlong.training.ema import Ema, Swap
from mindlong.training.optim import Adam, Rates, decayed_by

CHUNK = 2**16  # numbers that are averaged at once: they stay in a core's cache


class HostArray:
    """A float32 array in host memory under a name, with what checkpoints ask of a Parameter."""

    def __init__(self, name: str, array: np.ndarray) -> None:
        self.name, self.array = name, array
        self.shape, self.size = array.shape, array.size

    def set_data(self, values: Tensor) -> None:
        """Copy values in."""
        self.array[...] = values.asnumpy()

    def asnumpy(self) -> np.ndarray:
        """The array itself."""
        return self.array


class HostAdam:
    """`mindlong.training.optim.Adam` with its moments in host memory.

    Attributes:
        m, v: first and second moments, named `m.NAME` and `v.NAME`.
    """

    def __init__(self, parameters: Sequence[Parameter], options: TrainOptions) -> None:
        self.parameters, self.options = list(parameters), options
        self.m, self.v = (
            [HostArray(f"{moment}.{p.name}", np.zeros(p.shape, np.float32)) for p in parameters]
            for moment in "mv"
        )
        self.decayed = decayed_by(parameters, options)
        self.kernels: dict[tuple[int, bool], Adam] = {}

    def update(self, gradients: Sequence[Tensor], rates: Rates) -> None:
        """One update with these gradients."""
        numbers = (rates.step_size, rates.eps, rates.shrink, 1.0)
        tensors = [Tensor(np.float32(number)) for number in numbers]
        for i, (p, m, v) in enumerate(zip(self.parameters, self.m, self.v, strict=True)):
            kernel = self._kernel(p.size, self.decayed[i])
            held = (kernel.parameters[0], kernel.m[0], kernel.v[0])
            for slot, array in zip(held, (np.array(p.asnumpy()), m.array, v.array), strict=True):
                slot.set_data(Tensor.from_numpy(array.reshape(-1)))
            launch(kernel, Tensor.from_numpy(gradients[i].asnumpy().reshape(-1)), *tensors)
            p.set_data(Tensor(held[0].asnumpy().reshape(p.shape)))
            m.array[...] = held[1].asnumpy().reshape(p.shape)
            v.array[...] = held[2].asnumpy().reshape(p.shape)

    def _kernel(self, size: int, decayed: bool) -> Adam:
        """The compiled update of a parameter of `size` numbers, which all of that size share."""
        if (size, decayed) not in self.kernels:
            slot = Parameter(Tensor(np.zeros(size, np.float32)), name="slot")
            self.kernels[size, decayed] = OneAdam([slot], self.options, (decayed,), host=True)
        return self.kernels[size, decayed]

    def state(self) -> dict[str, np.ndarray]:
        """The moments by name, as checkpoints hold them."""
        return {held.name: held.array for held in (*self.m, *self.v)}


class OneAdam(Adam):
    """Of a single parameter: construct(gradient, the rest as `Adam`)."""

    def construct(self, gradient, step_size, eps, shrink, keep):
        return super().construct((gradient,), step_size, eps, shrink, keep)


class HostEma(Ema):
    """Averages in host memory."""

    def __init__(self, weights: Sequence[Parameter], options: TrainOptions) -> None:
        self.options, self.weights = options, list(weights)
        self.averages = [HostArray(f"ema.{p.name}", np.array(p.asnumpy())) for p in weights]

    def start(self) -> None:
        """Make the averages a copy of the weights as they are."""
        for held, weight in zip(self.averages, self.weights, strict=True):
            held.array[...] = weight.asnumpy()

    def average(self, decay: float) -> None:
        """Take in the weights as they are."""
        kept, rest = np.float32(decay), np.float32(1.0 - decay)
        for held, weight in zip(self.averages, self.weights, strict=True):
            average, values = held.array.reshape(-1), weight.asnumpy().reshape(-1)
            for start in range(0, held.size, CHUNK):
                part = average[start : start + CHUNK]
                part *= kept
                part += values[start : start + CHUNK] * rest

    def state(self) -> dict[str, np.ndarray]:
        """The averages under the names of the weights they average."""
        return {w.name: a.array for w, a in zip(self.weights, self.averages, strict=True)}

    @contextlib.contextmanager
    def swapped_in(self) -> Iterator[None]:
        """Within the block the network computes with the averages; afterwards with its own weights,
        bit for bit.
        """
        with Swap(self.weights, lambda: [held.array for held in self.averages]).swapped_in():
            yield
