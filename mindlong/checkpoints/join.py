"""An image network and motion modules from another file as one network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from mindlong.checkpoints.files import open_named, open_weights
from mindlong.checkpoints.folders import SCHEDULER
from mindlong.checkpoints.parts import Part, read_part
from mindlong.networks import table
from mindlong.networks.network import Network, made
from mindlong.utils.errors import ConfigError, InputFileError
from mindlong.utils.needed import needed

if TYPE_CHECKING:
    from mindlong.checkpoints.convert import Plan
    from mindlong.checkpoints.lazy import Lazy
    from mindlong.checkpoints.weight_file import WeightFile

ROLE = "motion"


def open_module(named: str, key: str) -> WeightFile:
    """The open file of motion modules that `named` means; `key` is what the user wrote it under.
    Raises InputFileError.
    """
    if "," in named and not _is_there(named):
        raise ConfigError(f"{key} is {named!r}; it names one file, motion modules are not blended")
    return _without_second(open_named(named, key))


def _without_second(held: WeightFile) -> WeightFile:
    """A pipeline saved by diffusers holds the modules twice: alone, and in the whole network."""
    own = {name: row for name, row in held.rows.items() if name.startswith(f"{ROLE}.")}
    return replace(held, rows=own) if own else held


def _is_there(named: str) -> bool:
    try:
        open_weights(named)
    except InputFileError:
        return False
    return True


def module_of(family: str) -> Network | None:
    """The entry of the motion modules that a family's networks have; None where they have none."""
    return next((n for n in table.networks(ROLE) if n.module and n.module.whole == family), None)


def refuse_alone(held: WeightFile) -> None:
    """Raise InputFileError where a file has motion modules and no network that they belong to."""
    found = {match.network.role for match in table.find(held.names())}
    if found == {ROLE}:
        raise InputFileError(
            f"{held.path} holds motion modules alone; give weights=IMAGE_MODEL latent.motion=FILE, an image model and "
            "this file"
        )


def joined(image: Part, held: WeightFile, overrides: Mapping[str, Any] | None = None) -> Part:
    """The network of `image` with the motion modules of another file.

    Args:
        overrides: keys of the modules' section that rule over what the file says.

    Raises:
        InputFileError: the file holds no motion modules. ConfigError: the two do not go together.
    """
    module = read_part(held, ROLE, overrides=overrides)
    whole, arrays = _image_part(image.network, image.arrays, module.network, str(held.path))
    try:
        spec = made(needed(module.network.module, "module").join)(image.spec, module.spec)
    except ConfigError as error:
        raise ConfigError(f"{held.path}: {error}") from None
    return Part(whole, spec, {**arrays, **module.arrays})


def joined_plan(plan: Plan, held: WeightFile, overrides: Mapping[str, Any] | None = None) -> Plan:
    """The conversion of an image network to ours, with the motion modules of another file. Raises
    as `joined`.
    """
    part = joined(Part(plan.format.network, plan.spec, plan.arrays), held, overrides)
    note = f"{len(part.arrays) - len(plan.arrays)} tensors are the motion modules of {held.path}"
    return replace(
        plan,
        match=replace(plan.match, based=part.network),
        format=part.network.formats[0],
        spec=part.spec,
        arrays=part.arrays,
        notes=(*plan.notes, note),
    )


def without_scheduler(weights: WeightFile) -> WeightFile:
    """The file without the noising process beside it, which is the image model's, not that of the
    motion modules.
    """
    kept = {name: path for name, path in weights.beside.items() if name != SCHEDULER}
    return replace(weights, beside=kept)


def _image_part(
    image: Network, arrays: Mapping[str, Lazy], module: Network, where: str
) -> tuple[Network, dict[str, Lazy]]:
    """The family of the two together, and the tensors of the image network."""
    whole = table.get(needed(module.module, "module").whole)
    if image.family not in (whole.family, whole.base):
        raise ConfigError(
            f"{where} holds {module.about}, which are added to networks of the family {whole.base}; weights is "
            f"{image.about}"
        )
    return whole, {n: a for n, a in arrays.items() if whole.base_name(n) is not None}
