"""How a network, or a half of it, is run alone on named arrays."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

Arrays = Mapping[str, np.ndarray]
KINDS = {"float": np.float32, "int": np.int32, "bool": np.bool_, "number": np.float64}


@dataclass(frozen=True)
class Input:
    """An array that a network takes.

    Attributes:
        axes: as letters; "" is one number, "BD|BFD" either.
        kind: of KINDS.
        about: what it holds and is, for people.
    """

    name: str
    axes: str
    kind: str
    about: str
    needed: bool = False


@dataclass(frozen=True)
class Lone:
    """One way to run a network alone.

    Attributes:
        name: what `--network` calls it.
        inputs: what it takes, in the order of construct; the first is the one that `grad_x` belongs
            to.
        check: (spec, arrays) -> the length that each axis letter must have where the spec fixes it;
            raises InputFileError where the arrays do not go together.
        output: (spec, arrays) -> the shape of the output.
        build: "module:function" of (spec, arrays) -> the cell.
        aside: inputs that `build` takes, not construct.
        about: for people: what `out` is.
    """

    name: str
    inputs: tuple[Input, ...]
    check: Callable[[Any, Arrays], dict[str, int]]
    output: Callable[[Any, Arrays], tuple[int, ...]]
    build: str
    aside: tuple[str, ...] = ()
    about: str = ""

    def order(self, arrays: Arrays) -> list[str]:
        """The inputs of construct, up to the last that is there."""
        names = [i.name for i in self.inputs if i.name not in self.aside]
        given = [place for place, name in enumerate(names) if name in arrays]
        return names[: max(given, default=-1) + 1]


def like_x(spec: Any, arrays: Arrays) -> tuple[int, ...]:
    """The shape of a denoising network's output: that of its input "x" (B, C, ...) with its own
    channels.
    """
    batch, _, *rest = arrays["x"].shape
    return batch, spec.out_channels, *rest


NOISY_LATENTS = Input(
    "x",
    "BCFHW",
    "float",
    "the noisy latents (batch, channels, frames, height, width)",
    needed=True,
)
TIMESTEPS = Input("t", "B", "float", "timesteps (batch)", needed=True)
