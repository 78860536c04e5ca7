"""Weights into a cell, strictly: what does not fit is an error with a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from mindspore import Parameter, Tensor, dtype_to_nptype, nn

from mindlong.checkpoints.dtypes import FLOATS
from mindlong.checkpoints.finite import check_arrays
from mindlong.checkpoints.report import Report, compare
from mindlong.utils.errors import InputFileError


def arrays_of(cell: nn.Cell) -> dict[str, np.ndarray]:
    """Every parameter of `cell` by name, as numpy arrays of its own."""
    return {p.name: np.array(p.asnumpy()) for p in cell.get_parameters()}


def load_into(
    cell: nn.Cell,
    arrays: Mapping[str, np.ndarray],
    allow: Sequence[str] = (),
    what: str = "the weights",
) -> Report:
    """Fill the parameters of `cell`, cast to their own floating type, and return the report.

    Nothing is changed unless everything fits and, of arrays in memory, is finite.

    Args:
        arrays: name -> array; an open `WeightFile` serves too and is then read tensor by tensor.
        allow: patterns such as `control.*` of names that may be missing or left over.
        what: what the arrays are, for the error.

    Raises:
        InputFileError: names missing or left over, another shape, whole numbers in place of
            floating ones, NaN or infinity.
    """
    parameters = {p.name: p for p in cell.get_parameters()}
    report = compare({n: p.shape for n, p in parameters.items()}, shapes_of(arrays), allow)
    if not report.fits:
        raise InputFileError(
            "\n".join([f"{what} do not fit the network: {report.summary()}", *report.lines()[1:]])
        )
    for name in report.mapped:
        _check_kind(parameters[name], _dtype(arrays, name), what)
    if isinstance(arrays, dict):
        check_arrays({name: arrays[name] for name in report.mapped}, what)
    for name in report.mapped:
        array = np.asarray(arrays[name])
        if not isinstance(arrays, dict):
            check_arrays({name: array}, what)
        fill(parameters[name], array)
    return report


def shapes_of(arrays: Mapping[str, np.ndarray]) -> dict[str, tuple[int, ...]]:
    """Name -> shape, without reading an open file's tensors."""
    shape = getattr(arrays, "shape", None)
    return {name: tuple(shape(name) if shape else arrays[name].shape) for name in arrays}


def _dtype(arrays: Mapping[str, np.ndarray], name: str) -> str:
    return arrays.dtype(name) if hasattr(arrays, "dtype") else np.asarray(arrays[name]).dtype.name


def _check_kind(parameter: Parameter, given: str, what: str) -> None:
    target = _numpy_type(parameter)
    if (given in FLOATS) != (target.name in FLOATS):
        raise InputFileError(
            f"{parameter.name} is {given} in {what} and {target.name} in the network"
        )


def fill(parameter: Parameter, array: np.ndarray) -> None:
    """Give a parameter new numbers, cast to its type; graphs that use it stay as they are."""
    copy = np.array(
        array, _numpy_type(parameter), order="C"
    )  # MindSpore may keep the memory it is given
    parameter.set_data(Tensor(copy))


def _numpy_type(parameter: Parameter) -> np.dtype:
    return np.dtype(dtype_to_nptype(parameter.dtype))
