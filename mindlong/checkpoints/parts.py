"""One network out of a file, a run or a whole pipeline, with the spec that belongs to it, in
whatever naming it lies there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from mindlong.checkpoints import convert, description
from mindlong.checkpoints.float32_file import read_float32
from mindlong.checkpoints.recognise import recognise
from mindlong.config.section import spec_of
from mindlong.networks import table
from mindlong.utils.errors import ConfigError

if TYPE_CHECKING:
    from mindlong.checkpoints.lazy import Lazy
    from mindlong.checkpoints.weight_file import WeightFile
    from mindlong.networks.network import Network
    from mindlong.networks.table import Match


@dataclass(frozen=True)
class Part:
    """A network that can be built.

    Attributes:
        network: its entry in the table.
        spec: frozen.
        arrays: its tensors under our names, still to be read.
        facts: what its file says beside them (`Format.facts`).
    """

    network: Network
    spec: Any
    arrays: dict[str, Lazy]
    facts: Mapping[str, str] = field(default_factory=dict)

    @property
    def family(self) -> str:
        """The name of the network's family."""
        return self.network.family

    def size(self) -> int:
        """How many numbers there are."""
        return sum(prod(lazy.shape) for lazy in self.arrays.values())


def own_names(match: Match, spec: Any) -> set[str] | None:
    """The names of ours, with the prefix, of an addition that may lie inside a network; None for a
    network, which everything behind the prefix belongs to.
    """
    if match.network.module is None:
        return None
    return {match.prefix + entry.ours for entry in match.network.formats[0].entries(spec)}


def read_part(
    weights: WeightFile,
    part: str,
    family: str | None = None,
    overrides: Mapping[str, Any] | None = None,
) -> Part:
    """The network `part` of an open file: a role (network, vae, text_encoder, ...) or what our
    files call it (unet).

    Args:
        family: where the tensors alone do not tell, or to start one family from the weights of
            another.

        overrides: keys of its model section that rule over what the file says.

    Raises:
        InputFileError: the file holds no such network, or a damaged one. ConfigError: nothing says
            its sizes.
    """
    match = recognise(weights, None, family, part)[0]
    float32 = read_float32(weights.path, match.network.part)
    if float32:
        overrides = {"float32": float32, **(overrides or {})}
    if not match.ours:
        plan = convert.to_ours(weights, match, overrides=overrides)
        plan.check(str(weights.path))
        facts, _ = match.format.facts(weights, match.prefix)
        return Part(plan.format.network, plan.spec, plan.arrays, facts)
    return _of_ours(weights, match, family, overrides)


def _of_ours(
    weights: WeightFile, match: Match, family: str | None, overrides: Mapping[str, Any] | None
) -> Part:
    """The same of a file with our names, which says its sizes itself."""
    name, model = match.network.part, description.read_model(weights, None)
    section = {**description.part_of(model, name, str(weights.path)), **(overrides or {})}
    network = match.network
    if not match.based:
        network = _described(network, section, family, str(weights.path))
    spec, facts = spec_of(section), description.read_source(weights).get(name, {})
    own = own_names(match, spec)
    held = {
        name.removeprefix(match.prefix): weights.lazy(name)
        for name in weights
        if name.startswith(match.prefix) and (own is None or name in own)
    }
    if match.based:
        spec = spec_of(match.based.section(spec))
        return Part(match.based, spec, convert.started(match.based, spec, held)[0], facts)
    return Part(network, spec, held, facts)


class Reading(Mapping[str, np.ndarray]):
    """A part's tensors, read one at a time when they are asked for."""

    def __init__(self, part: Part) -> None:
        self.arrays = part.arrays

    def shape(self, name: str) -> tuple[int, ...]:
        """A tensor's shape, without reading it."""
        return self.arrays[name].shape

    def dtype(self, name: str) -> str:
        """How a tensor is stored."""
        return self.arrays[name].dtype

    def __getitem__(self, name: str) -> np.ndarray:
        return self.arrays[name].read()

    def __iter__(self) -> Iterator[str]:
        return iter(self.arrays)

    def __len__(self) -> int:
        return len(self.arrays)


def _described(
    network: Network, section: Mapping[str, Any], family: str | None, where: str
) -> Network:
    """The network that a file of ours says it is: several may have the same tensors, or some of
    them.

    Raises:
        ConfigError: the user says another.
    """
    said = section.get("family", network.family)
    if said == network.family or said not in table.families(network.role):
        return network
    if family is not None and network.role == "network":
        raise ConfigError(
            f"{where} says that it is of the family {said}, and {family} was asked for. Leave that out, or convert "
            f"the original with --family {family}"
        )
    return table.get(said) if said in network.alike else network
