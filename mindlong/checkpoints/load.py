"""Weights into a cell, strictly: what does not fit is an error with a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from mindspore import Parameter, Tensor, nn

from mindlong.checkpoints.report import Report, compare
from mindlong.utils.errors import InputFileError


def arrays_of(cell: nn.Cell) -> dict[str, np.ndarray]:
    """Every parameter of `cell` by name, as numpy arrays of its own."""
    return {p.name: np.array(p.asnumpy()) for p in cell.get_parameters()}


def load_into(cell: nn.Cell, arrays: Mapping[str, np.ndarray], allow: Sequence[str] = (),
              what: str = "the weights") -> Report:
    """Fill the parameters of `cell`, cast to their own floating type, and return the report.

    Nothing is changed unless everything fits.

    Args:
        arrays: name -> array; an open `WeightFile` serves too and is then read tensor by tensor.
        allow: patterns such as `control.*` of names that may be missing or left over.
        what: what the arrays are, for the error.

    Raises:
        InputFileError: names missing or left over, another shape, or whole numbers in place of floating ones.
    """
    parameters = {p.name: p for p in cell.get_parameters()}
    report = compare({n: p.shape for n, p in parameters.items()}, shapes_of(arrays), allow)
    if not report.fits:
        raise InputFileError("\n".join([f"{what} do not fit the network: {report.summary()}", *report.lines()[1:]]))
    for name in report.mapped:
        _fill(parameters[name], np.asarray(arrays[name]), what)
    return report


def shapes_of(arrays: Mapping[str, np.ndarray]) -> dict[str, tuple[int, ...]]:
    """Name -> shape, without reading an open file's tensors."""
    shape = getattr(arrays, "shape", None)
    return {name: tuple(shape(name) if shape else arrays[name].shape) for name in arrays}


def _fill(parameter: Parameter, array: np.ndarray, what: str) -> None:
    target = parameter.asnumpy().dtype
    if (array.dtype.kind == "f") != (target.kind == "f"):
        raise InputFileError(f"{what}: {parameter.name} is {array.dtype} there and {target} in the network")
    parameter.set_data(Tensor(np.array(array, target, order="C")))  # a copy: MindSpore may keep the memory it is given
