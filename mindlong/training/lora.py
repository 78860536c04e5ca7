"""A LoRA in training: which layers get one, what a checkpoint holds of it, its files for others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from mindspore import Parameter, nn

from mindlong.checkpoints.lora import write
from mindlong.checkpoints.lora.targets import Parts, choose, layers_of
from mindlong.networks.lora_names import WEIGHT, Layer
from mindlong.ops.lora import NAME, LowRank, adapt, can_adapt
from mindlong.utils import rng

if TYPE_CHECKING:
    from mindlong.config.lora_options import LoraOptions

FILES = {"pytorch_lora_weights": write.DIFFUSERS, "lora_kohya": write.KOHYA}


@dataclass(frozen=True)
class Adapted:
    """A layer that has a LoRA.

    Attributes:
        role: of its network. layer: its names. cell: the LoRA.
    """

    role: str
    layer: Layer
    cell: LowRank


class Adapters:
    """LoRAs put beside layers of a network; the network itself learns nothing any more.

    Args:
        network: not yet compiled.
        parts: its networks, by the first word of the names of parameters.
        options: rank, alpha and targets.
        usual: targets where the options name none.
        seed: of the first values of A; B starts at zero.

    Raises:
        ConfigError: a target that names no layer that can have one.
    """

    def __init__(
        self,
        network: nn.Cell,
        parts: Parts,
        options: LoraOptions,
        usual: Sequence[str] = (),
        seed: int = 0,
    ) -> None:
        self.options = options
        known = layers_of(parts)
        cells = {
            cell.weight.name.removesuffix(WEIGHT): cell
            for _, cell in network.cells_and_names()
            if can_adapt(cell)
        }
        names = [name for name in cells if name in known]
        chosen = choose(names, options.targets, usual, parts)
        for parameter in network.get_parameters():
            parameter.requires_grad = False
        self.adapted = []
        for name in chosen:
            draw = rng.generator(seed, "init", f"{name}.{NAME}.down{WEIGHT}")
            cell = adapt(cells[name], options.rank, options.factor, draw)
            self.adapted.append(Adapted(*known[name], cell))

    def parameters(self) -> list[Parameter]:
        """What learns, and what a checkpoint keeps."""
        return [p for each in self.adapted for p in each.cell.get_parameters()]

    def describe(self) -> list[str]:
        """A line for the opening of a run."""
        count = sum(p.size for p in self.parameters())
        o = self.options
        return [
            f"LoRA: {len(self.adapted)} layers of rank {o.rank}, alpha {o.factor * o.rank:g}, {count:,} numbers "
            "learn"
        ]

    def files(
        self, values: Mapping[str, np.ndarray]
    ) -> dict[str, tuple[write.Arrays, dict[str, str]]]:
        """File name (without suffix) -> (arrays, metadata), in the names of diffusers and of kohya.

        Args:
            values: the parameters by name; averages serve too.
        """
        found = [
            write.Matrices(
                each.role,
                each.layer,
                values[each.cell.down.weight.name],
                values[each.cell.up.weight.name],
                each.cell.factor,
            )
            for each in self.adapted
        ]
        return {file: write.in_naming(naming, found) for file, naming in FILES.items()}
