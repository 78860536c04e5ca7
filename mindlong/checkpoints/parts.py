"""One network out of a file, a run or a whole pipeline, with the spec that belongs to it, in
whatever naming it lies there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

from mindlong.checkpoints import convert, description
from mindlong.checkpoints.lazy import Lazy
from mindlong.checkpoints.recognise import recognise
from mindlong.checkpoints.weight_file import WeightFile


@dataclass(frozen=True)
class Part:
    """A network that can be built: its family, its frozen spec, and its tensors under our names,
    still to be read.
    """

    family: str
    spec: Any
    arrays: dict[str, Lazy]

    def size(self) -> int:
        """How many numbers there are."""
        return sum(prod(lazy.shape) for lazy in self.arrays.values())


def read_part(
    weights: WeightFile,
    part: str,
    family: str | None = None,
    wishes: Mapping[str, Any] | None = None,
) -> Part:
    """The network `part` (unet, vae, text_encoder) of an open file.

    Args:
        family: where the tensors alone do not tell, or to start one family from the weights of
            another.

        wishes: keys of its model section that rule over what the file says.

    Raises:
        InputFileError: the file holds no such network, or a damaged one. ConfigError: nothing says
            its sizes.
    """
    hit = recognise(weights, None, family, part)[0]
    if not hit.ours:
        plan = convert.to_ours(weights, hit, wishes=wishes)
        plan.check(str(weights.path))
        return Part(plan.kind.family, plan.spec, plan.arrays)
    section = description.part_of(description.read_model(weights, None), part, str(weights.path))
    spec = hit.kind.from_section({**section, **(wishes or {})})
    held = {
        name.removeprefix(hit.prefix): weights.lazy(name)
        for name in weights
        if name.startswith(hit.prefix)
    }
    if hit.based:
        spec = hit.based.from_section(hit.based.section(spec))
        return Part(hit.based.family, spec, convert.started(hit.based, spec, held)[0])
    return Part(hit.kind.family, spec, held)
