"""LoRAs put into a model that runs, or taken out of it: weights are assigned in place, no graph is
compiled again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from mindspore import nn

from mindlong.checkpoints.load import fill
from mindlong.checkpoints.lora.latent import ROLES, say, stamps_of
from mindlong.checkpoints.lora.merge import Merged, inherited, merge
from mindlong.config.lora_words import every

if TYPE_CHECKING:
    from mindlong.checkpoints.latent_parts import LatentParts
    from mindlong.checkpoints.parts import Part
    from mindlong.pipelines.latent_model import LatentModel


def swap_loras(model: LatentModel, loras: Sequence[str], strict: bool = True) -> Merged:
    """Have the networks of a model as if it had been loaded with these LoRAs and no others.

    Only tensors that differ are assigned, from the base's file and the LoRAs' files: never by
    subtracting, so that `swap_loras(model, [])` gives back the very bits.

    Args:
        loras, strict: as `mindlong.checkpoints.lora.latent.with_loras`.

    Raises:
        ConfigError, InputFileError: as `with_loras`; the model is then as it was.
    """
    base = {role: model.unmerged[role] for role in ROLES}
    stamps = stamps_of(loras)
    merged = merge(base, every(loras), strict)
    _put(model, merged.parts, tuple(loras), stamps)
    say(merged)
    return merged


def wear(model: LatentModel, parts: LatentParts) -> None:
    """Give a model that is kept in memory the LoRAs of parts that were found for the same weights
    and options, where it has others, or what their files held before.
    """
    if (model.loras, model.lora_stamps) != (parts.loras, parts.lora_stamps):
        networks = {role: getattr(parts, role) for role in ROLES}
        _put(model, networks, parts.loras, parts.lora_stamps)


def _put(
    model: LatentModel,
    parts: Mapping[str, Part],
    loras: tuple[str, ...],
    stamps: tuple[object, ...],
) -> None:
    for role, part in parts.items():
        before = model.held[role]
        changed = {n for n in {*before.arrays, *part.arrays} if _differs(before, part, n)}
        model.held[role] = replace(part, spec=before.spec)  # which frames are read stays
        cell = model.cell(role)
        if changed and cell is not None:
            assign(cell, part, changed)
        if changed and role == "text_encoder":
            model.forget_texts()
    model.loras, model.lora_stamps = loras, stamps


def _differs(before: Part, after: Part, name: str) -> bool:
    """Whether a tensor is not the one it was; equal ones are one object."""
    return before.arrays.get(name) is not after.arrays.get(name)


def assign(cell: nn.Cell, part: Part, names: Iterable[str]) -> None:
    """Give parameters of a cell the tensors that a part has of them."""
    parameters = {p.name: p for p in cell.get_parameters()}
    first = inherited(part)
    for name in names:
        lazy = part.arrays.get(name) or first[name]
        fill(parameters[name], np.asarray(lazy.read()))
