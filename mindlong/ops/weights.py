"""First values of parameters, by torch's rules, drawn from a generator the caller gives."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from mindspore import Parameter, Tensor

Draw = Callable[[str], np.random.Generator]


def zeros(*shape: int) -> Parameter:
    """A float32 parameter of zeros."""
    return Parameter(Tensor(np.zeros(shape, np.float32)))


def ones(*shape: int) -> Parameter:
    """A float32 parameter of ones."""
    return Parameter(Tensor(np.ones(shape, np.float32)))


def fill_uniform(parameter: Parameter, generator: np.random.Generator, fan_in: int) -> None:
    """U(-1/sqrt(fan_in), 1/sqrt(fan_in)): torch's default for the weights and the biases of linear
    and convolution layers.
    """
    bound = 1.0 / np.sqrt(fan_in)
    parameter.set_data(Tensor(generator.uniform(-bound, bound, parameter.shape).astype(np.float32)))


def fill_normal(parameter: Parameter, generator: np.random.Generator) -> None:
    """N(0, 1): torch's default for embeddings."""
    parameter.set_data(Tensor(generator.standard_normal(parameter.shape, dtype=np.float32)))
