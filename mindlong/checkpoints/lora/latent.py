"""LoRAs over the parts of a latent pipeline, and over weights of a network in pixels."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from mindlong.checkpoints.latent_parts import find_latent_parts
from mindlong.checkpoints.lazy import as_lazy
from mindlong.checkpoints.lora.merge import Merged, merge
from mindlong.checkpoints.lora.read import stamp
from mindlong.checkpoints.parts import Part
from mindlong.config.lora_words import every
from mindlong.networks import table
from mindlong.utils.log import once

if TYPE_CHECKING:
    from mindlong.checkpoints.find import Trained
    from mindlong.checkpoints.latent_parts import LatentParts

ROLES = ("network", "text_encoder")  # what LoRAs change


def parts_of(config: Any) -> LatentParts:
    """The parts that the configuration of a latent pipeline names, with its LoRAs. Raises as
    `find_latent_parts` and `with_loras`.
    """
    found = find_latent_parts(config.weights, config.latent)
    return with_loras(found, config.lora, config.lora_strict)


def with_loras(parts: LatentParts, loras: Sequence[str], strict: bool = True) -> LatentParts:
    """The parts with LoRAs added; `unmerged` keeps them as they were.

    Args:
        loras: FILE, FILE:STRENGTH or FILE:STRENGTH:STRENGTH_OF_TEXT, in the order of the sum.
        strict: pairs without a layer are an error.

    Raises:
        ConfigError: words that name no file. InputFileError: a file that is no LoRA or does not
            fit.
    """
    if not loras:
        return parts
    base = {role: getattr(parts, role) for role in ROLES}
    stamps = stamps_of(loras)  # before they are read: a change meanwhile is seen by the next call
    merged = merge(base, every(loras), strict)
    say(merged)
    changed: dict[str, Any] = {
        **merged.parts,
        "unmerged": base,
        "merged": merged,
        "loras": tuple(loras),
        "lora_stamps": stamps,
    }
    return replace(parts, **changed)


def stamps_of(loras: Sequence[str]) -> tuple[object, ...]:
    """What tells the files of LoRAs from others, or from what they held before. Raises as
    `with_loras`.
    """
    return tuple(stamp(each.path) for each in every(loras))


def say(merged: Merged) -> None:
    """What was merged, to the log, once."""
    for row in merged.rows:
        once(f"LoRA {row}")
    for note in merged.notes:
        once(f"LoRA {note}", logging.WARNING)


def over_trained(trained: Trained, loras: Sequence[str], strict: bool = True) -> Trained:
    """Weights of a network in pixels with LoRAs added. Raises as `with_loras`."""
    if not loras:
        return trained
    model = trained.config.model
    network = table.get(model.family)
    head = f"{network.part}."
    arrays = {
        name.removeprefix(head): as_lazy(array)
        for name, array in trained.arrays.items()
        if name.startswith(head)
    }
    part = Part(network, model.spec(), arrays)
    merged = merge({"network": part}, every(loras), strict)
    say(merged)
    new = {
        head + name: np.asarray(merged.parts["network"].arrays[name].read(), np.float32)
        for name in merged.changed.get("network", ())
    }
    return replace(trained, arrays={**trained.arrays, **new})


def lora_row(parts: LatentParts) -> dict[str, str]:
    """The row of a dry run; empty without LoRAs."""
    return {"lora": "; ".join(parts.merged.rows)} if parts.merged else {}
