"""Networks run alone on named arrays, to compare a converted one with its original.

What they are called, which arrays they take and how they are built stands in the table of networks
(`Network.lone`); `run` does the rest. Names and shapes of gradients are those of the original's own
state dict.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mindspore as ms
import numpy as np
from mindspore import Tensor, nn

from mindlong.checkpoints.files import open_weights
from mindlong.checkpoints.finite import check_arrays
from mindlong.checkpoints.locate import locate
from mindlong.checkpoints.our_weights import our_weights
from mindlong.checkpoints.parts import read_part
from mindlong.checkpoints.recognise import recognise
from mindlong.networks import table
from mindlong.networks.lone import KINDS, Arrays, Input, Lone
from mindlong.networks.names import Entry, by_source, source_array
from mindlong.networks.network import Network, made
from mindlong.utils.errors import ConfigError, InputFileError, did_you_mean


@dataclass(frozen=True)
class Alone:
    """A network to be run alone.

    Attributes:
        network: its entry in the table. lone: the way it is run.
    """

    network: Network
    lone: Lone

    def entries(self, spec: Any, layout: str = "", inner: str | None = None) -> list[Entry]:
        """The names of its tensors, ours and those of its own state dict in `layout` ("": the usual
        one); `inner` is what stands before these, None: what usually does.
        """
        form = self.network.format(layout)
        return form.named(form.inner if inner is None else inner, spec)


def find(family: str, name: str | None, others: Mapping[str, Network] | None = None) -> Alone:
    """The network of `family`, or one beside it, that `--network` calls `name`; None: its first.

    Args:
        others: the networks beside it, by role; None: the usual ones.

    Raises:
        ConfigError: none is called so.
    """
    networks = [table.get(family), *(table.beside(family) if others is None else others).values()]
    found = {lone.name: Alone(network, lone) for network in networks for lone in network.lone}
    if not found:
        raise ConfigError(f"no network of the family {family!r} can be run alone")
    chosen = name or next(iter(found))
    if chosen not in found:
        raise ConfigError(f"--network is {chosen!r}; the family {family} has {', '.join(found)}.")
    return found[chosen]


def checked(lone: Lone, spec: Any, given: Arrays, grad: bool) -> dict[str, np.ndarray]:
    """The arrays as the network takes them; `probe` stays aside.

    Raises:
        InputFileError: an unknown name, a missing array, a wrong shape or type; one sentence.
    """
    allowed = {i.name: i for i in lone.inputs}
    names = [*allowed, "probe"]
    for name in given:
        if name not in names:
            raise InputFileError(f"inputs: unknown array {name!r}.{did_you_mean(name, names)}")
    if grad and "probe" not in given:
        raise InputFileError(
            "inputs: --grad needs an array 'probe' shaped like the output (d sum(out*probe) is taken)"
        )
    found = {i.name: _typed(i, given) for i in lone.inputs if i.name in given or i.needed}
    sizes = lone.check(spec, found)
    for name, array in found.items():
        sizes = _fits(allowed[name], array, sizes)
    shape = lone.output(spec, found)
    if grad and given["probe"].shape != shape:
        raise InputFileError(
            f"inputs: probe has the shape {given['probe'].shape}; the output's is {shape}"
        )
    return found


def _typed(wanted: Input, given: Arrays) -> np.ndarray:
    if wanted.name not in given:
        raise InputFileError(f"inputs: the array {wanted.name!r} is missing ({wanted.about})")
    array = given[wanted.name]
    whole = wanted.kind in ("int", "bool")
    if array.dtype.kind not in ("biu" if whole else "biuf"):
        raise InputFileError(
            f"inputs: {wanted.name} holds {array.dtype}; it must be {wanted.kind} ({wanted.about})"
        )
    shape = () if not wanted.axes and array.size == 1 else array.shape
    return np.ascontiguousarray(array.astype(KINDS[wanted.kind])).reshape(shape)


def _fits(wanted: Input, array: np.ndarray, sizes: dict[str, int]) -> dict[str, int]:
    """`sizes` with what this array adds to it."""
    axes = {len(way): way for way in wanted.axes.split("|")}
    if array.ndim not in axes:
        need = (
            " or ".join(f"({', '.join(way)})" for way in axes.values())
            if wanted.axes
            else "one number"
        )
        raise InputFileError(
            f"inputs: {wanted.name} has the shape {array.shape}; it must be {need}: {wanted.about}"
        )
    for axis, length in zip(axes[array.ndim], array.shape, strict=True):
        if sizes.setdefault(axis, length) != length:
            raise InputFileError(
                f"inputs: {wanted.name} has the shape {array.shape}; its axis {axis} must be "
                f"{sizes[axis]} ({wanted.about})"
            )
    return sizes


def at(alone: Alone, where: str, overrides: Mapping[str, Any]) -> tuple[Alone, Any]:
    """The network that the weights at `where` hold in the place of one that is not the model
    file's, and its spec.

    Args:
        overrides: keys of its model section that rule over what is read off the weights; `family`
            says which it must be.

    Raises:
        InputFileError: no such network there. ConfigError: it cannot be run so.
    """
    weights, rest = open_weights(_place(where)), dict(overrides)
    part = read_part(weights, alone.network.part, rest.pop("family", None), overrides=rest)
    for lone in part.network.lone:
        if lone.name == alone.lone.name:
            return Alone(part.network, lone), part.spec
    raise ConfigError(f"{where} holds {part.network.about}, which has no {alone.lone.name}")


def read_weights(alone: Alone, spec: Any, where: str) -> dict[str, np.ndarray]:
    """The network's tensors under our names, from files of ours (also `shipped:NAME`) or of the
    original.

    Raises:
        InputFileError: nothing there, not such weights, weights of a network of other sizes, NaN or
            infinity.
    """
    network = alone.network
    held = our_weights(
        open_weights(_place(where)),
        (network.family, network.part),
        alone.entries(spec),
        spec=spec,
    )
    arrays = {name: lazy.read() for name, lazy in held.items()}
    check_arrays(arrays, where)
    return arrays


def naming_at(alone: Alone, where: str) -> tuple[str, str | None]:
    """How the weights at `where` name the network's tensors: (layout, what stands before the names
    in the network's own state dict); ("", None) for files of ours.
    """
    network = alone.network
    match = recognise(open_weights(_place(where)), None, network.family, network.part)[0]
    if match.ours or match.based:
        return "", None
    inner = match.format.inner
    return match.format.layout, inner if match.prefix.endswith(inner) else ""


def _place(where: str) -> str | Path:
    return locate(where) if where.startswith("shipped:") else where


def run(
    alone: Alone,
    spec: Any,
    weights: Arrays,
    given: Arrays,
    grad: bool = False,
    naming: tuple[str, str | None] = ("", None),
) -> dict[str, np.ndarray]:
    """One forward in the mode MindSpore is in.

    Args:
        weights: every tensor of the network under our names (`Entry.ours`).
        given: the arrays of `lone.inputs`, and `probe` shaped like the output if `grad`.
        naming: how the answer names tensors, see `naming_at`.

    Returns:
        `out`; with `grad` also `grad_x`, where the first input holds floats, and `grad/NAME` for
        every trained parameter, NAME and shape the original's.
    """
    arrays = checked(alone.lone, spec, given, grad)
    entries = alone.entries(spec, *naming)
    cell = made(alone.lone.build)(spec, arrays)
    fill(cell, entries, weights)
    order = alone.lone.order(arrays)
    inputs = [Tensor(arrays[name]) if name in arrays else None for name in order]
    if not grad:
        return {"out": cell(*inputs).asnumpy()}
    return _gradients(cell, entries, inputs, np.asarray(given["probe"], np.float32))


def fill(cell: nn.Cell, entries: Sequence[Entry], weights: Arrays) -> None:
    """Put `weights`, by our names, into a cell."""
    parameters = {p.name: p for p in cell.get_parameters()}
    for entry in entries:
        parameters[entry.ours].set_data(
            Tensor(np.asarray(weights[entry.ours], np.float32).reshape(entry.our_shape))
        )


class _Probed(nn.Cell):
    """sum(out * probe), and out."""

    def __init__(self, cell: nn.Cell) -> None:
        super().__init__(auto_prefix=False)
        self.cell = cell

    def construct(self, probe, *inputs):
        out = self.cell(*inputs)
        return (out * probe).sum(), out


def _gradients(
    cell: nn.Cell, entries: Sequence[Entry], inputs: list, probe: np.ndarray
) -> dict[str, np.ndarray]:
    trained, floats = cell.trainable_params(), inputs[0].dtype in (ms.float32, ms.float16)
    step = ms.value_and_grad(_Probed(cell), 1 if floats else None, trained, has_aux=True)
    if ms.get_context("mode") == ms.GRAPH_MODE:
        step = ms.jit(step)
    (_, out), taken = step(Tensor(probe), *inputs)
    by_input, by_trained = taken if floats else (None, taken)
    found = {"out": out.asnumpy(), **({"grad_x": by_input.asnumpy()} if floats else {})}
    arrays = {
        parameter.name: array.asnumpy()
        for parameter, array in zip(trained, by_trained, strict=True)
    }
    for source, group in by_source(entries).items():
        if all(entry.ours in arrays for entry in group):
            found[f"grad/{source}"] = source_array(
                group, {e.ours: arrays[e.ours].reshape(e.our_shape) for e in group}
            )
    return found
