"""What the trainer asks of the thing it trains, and which of its parameters take part."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
from mindspore import Parameter, nn

from mindlong.training.patterns import learns, nothing_left, refuse_idle

if TYPE_CHECKING:
    from mindlong.config.train_options import TrainOptions


class Task(Protocol):
    """One family's training: a network, its loss, and the inputs of every step.

    `inputs` is called in a thread of its own, where no graph may run. A task whose inputs need one
    has a method `finish(arrays) -> arrays` too, called with them before the step.

    Attributes:
        network: the trained network; its parameter names are the names in checkpoints.
        loss: cell holding the network, construct(*arrays) -> float32 scalar, the mean over the
            arrays' leading axis.
    """

    network: nn.Cell
    loss: nn.Cell

    def inputs(self, step: int, samples: Sequence[int]) -> tuple[np.ndarray, ...]:
        """Arrays with leading axis len(samples); a pure function: row i depends on samples[i]
        alone.
        """

    def preview(self, step: int, folder: Path) -> list[Path]:
        """Write videos drawn from fixed noise by the network as it is (the trainer swaps the
        averaged weights in).
        """

    def describe(self) -> list[str]:
        """Lines for the opening of a run."""


@dataclass(frozen=True)
class Selection:
    """The parameters of a network, split by what training does to them."""

    trainable: list[Parameter]
    frozen: list[Parameter]

    def describe(self) -> list[str]:
        """A line with the totals, then one for each group (the first part of the names)."""
        groups: dict[str, list[int]] = {}
        for column, parameters in enumerate((self.trainable, self.frozen)):
            for p in parameters:
                groups.setdefault(p.name.split(".")[0], [0, 0])[column] += p.size
        lines = [
            f"parameters: {_count(self.trainable):,} trainable, {_count(self.frozen):,} frozen"
        ]
        return lines + [
            f"  {name}: {train:,} trainable, {still:,} frozen"
            for name, (train, still) in groups.items()
        ]


def select(network: nn.Cell, options: TrainOptions) -> Selection:
    """Mark what is trained (`requires_grad`) after `train_only` and `freeze`.

    Parameters that the network itself created with requires_grad=False (tables, running statistics)
    stay frozen.

    Raises:
        ConfigError: a pattern that matches nothing, or nothing left to train.
    """
    parameters = list(network.get_parameters())
    refuse_idle(options, [p.name for p in parameters])
    for p in parameters:
        p.requires_grad = p.requires_grad and learns(p.name, options)
    selection = Selection(
        [p for p in parameters if p.requires_grad], [p for p in parameters if not p.requires_grad]
    )
    if not selection.trainable:
        raise nothing_left(options, len(parameters))
    return selection


def _count(parameters: Sequence[Parameter]) -> int:
    return sum(p.size for p in parameters)
