"""Networks that can be run alone on named arrays, to compare a converted one with its original.

What they are called, which arrays they take and how they are built stands with the families; `run`
does the rest. Names and shapes of gradients are those of the original's own state dict.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mindspore as ms
import numpy as np
from mindspore import Tensor, nn

from mindlong.checkpoints.convert import our_weights, recognise
from mindlong.checkpoints.files import open_weights
from mindlong.checkpoints.find import locate
from mindlong.checkpoints.parts import read_part
from mindlong.networks.names import Entry, by_source, source_array
from mindlong.pipelines import latent_networks, vdm_networks
from mindlong.pipelines.lone_network import KINDS, Arrays, Input, Network
from mindlong.utils.errors import ConfigError, InputFileError, did_you_mean


@dataclass(frozen=True)
class Described:
    """A network whose spec was read off its weights, in the place of a model section."""

    made: Any

    def spec(self) -> Any:
        """The spec."""
        return self.made


REGISTRY = {
    (network.family, network.name): network
    for network in (vdm_networks.VDM, *latent_networks.all_networks())
}


def find(family: str, name: str | None) -> Network:
    """The network of `family` called `name`, or the family's first. Raises ConfigError."""
    names = [n for f, n in REGISTRY if f == family]
    if not names:
        raise ConfigError(
            f"no network of the family {family!r} can be run alone.{did_you_mean(family, _families())}"
        )
    chosen = name or names[0]
    if chosen not in names:
        raise ConfigError(f"--network is {chosen!r}; the family {family} has {', '.join(names)}.")
    return REGISTRY[family, chosen]


def _families() -> list[str]:
    return sorted({family for family, _ in REGISTRY})


def checked(network: Network, model: Any, given: Arrays, grad: bool) -> dict[str, np.ndarray]:
    """The arrays as the network takes them; `probe` stays aside.

    Raises:
        InputFileError: an unknown name, a missing array, a wrong shape or type; one sentence.
    """
    allowed = {i.name: i for i in network.inputs}
    names = [*allowed, "probe"]
    for name in given:
        if name not in names:
            raise InputFileError(f"inputs: unknown array {name!r}.{did_you_mean(name, names)}")
    if grad and "probe" not in given:
        raise InputFileError(
            "inputs: --grad needs an array 'probe' shaped like the output (d sum(out*probe) is taken)"
        )
    found = {i.name: _typed(i, given) for i in network.inputs if i.name in given or i.needed}
    sizes = network.check(model, found)
    for name, array in found.items():
        sizes = _fits(allowed[name], array, sizes)
    shape = network.output(model, found)
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


def model_of_part(network: Network, where: str, wishes: Mapping[str, Any]) -> Described:
    """What the weights at `where` say of a network that is not the UNet of the model file.

    Args:
        wishes: keys of its model section that rule over what is read off the weights.

    Raises:
        InputFileError: no such network there.
    """
    return Described(read_part(open_weights(_place(where)), network.part, wishes=wishes).spec)


def read_weights(network: Network, model: Any, where: str) -> dict[str, np.ndarray]:
    """The network's tensors under our names, from files of ours (also `shipped:NAME`) or of the
    original.

    Raises:
        InputFileError: nothing there, not such weights, or weights of a network of other sizes.
    """
    held = our_weights(
        open_weights(_place(where)), (network.family, network.part), network.entries(model, "")
    )
    return {name: lazy.read() for name, lazy in held.items()}


def layout_of(network: Network, where: str) -> str:
    """The original's way to name tensors that the weights at `where` are in; "" for files of
    ours.
    """
    hit = recognise(open_weights(_place(where)), None, network.family, network.part)[0]
    return "" if hit.ours or hit.based else hit.kind.layout


def _place(where: str) -> str | Path:
    return locate(where) if where.startswith("shipped:") else where


def run(
    network: Network,
    model: Any,
    weights: Arrays,
    given: Arrays,
    grad: bool = False,
    layout: str = "",
) -> dict[str, np.ndarray]:
    """One forward in the mode MindSpore is in.

    Args:
        weights: every tensor of the network under our names (`Entry.ours`).
        given: the arrays of `network.inputs`, and `probe` shaped like the output if `grad`.
        layout: which of the original's ways to name tensors the answer takes.

    Returns:
        `out`; with `grad` also `grad_x`, where the first input holds floats, and `grad/NAME` for
        every trained parameter, NAME and shape the original's.
    """
    arrays = checked(network, model, given, grad)
    entries = network.entries(model, layout)
    cell, order = network.build(model, arrays)
    fill(cell, entries, weights)
    inputs = [Tensor(arrays[name]) if name in arrays else None for name in order]
    if not grad:
        return {"out": cell(*inputs).asnumpy()}
    return _gradients(cell, entries, inputs, np.asarray(given["probe"], np.float32))


def fill(cell: nn.Cell, entries: Sequence[Entry], weights: Arrays) -> None:
    """Put `weights`, by our names, into the cell that a `Network` built."""
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
