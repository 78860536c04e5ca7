"""LoRAs added to weights: W + sum of strength * alpha / rank * B A, summed in float32 and rounded
once, when the weights are stored.

The weights themselves stay in their file, so that taking a LoRA away gives back the very bits.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from mindlong.checkpoints.lazy import Lazy, as_lazy
from mindlong.checkpoints.lora.place import Fit, Placed, place
from mindlong.checkpoints.lora.read import LoraFile, read_lora
from mindlong.utils.errors import InputFileError

if TYPE_CHECKING:
    from mindlong.checkpoints.parts import Part
    from mindlong.config.lora_words import Wanted

Terms = Mapping[str, Sequence[tuple[float, Placed]]]  # our name of a weight -> scale, pair


@dataclass(frozen=True)
class Merged:
    """Networks with LoRAs in them.

    Attributes:
        parts: role -> network.
        changed: role -> our names of the tensors that are not the base's.
        rows: a sentence on each file.
        notes: what is to be said of them.
    """

    parts: dict[str, Part]
    changed: dict[str, tuple[str, ...]]
    rows: tuple[str, ...]
    notes: tuple[str, ...]


def merge(
    parts: Mapping[str, Part], wanted: Sequence[Wanted], strict: bool = True, key: str = "lora"
) -> Merged:
    """The networks of a base with LoRAs added, still to be read.

    Args:
        parts: role -> network. wanted: the files, in the order of the sum.
        strict: see `mindlong.checkpoints.lora.place.place`.

    Raises:
        InputFileError: as `read_lora` and `place`.
    """
    terms: dict[str, dict[str, list[tuple[float, Placed]]]] = {role: {} for role in parts}
    rows, notes = [], []
    for each in wanted:
        file = read_lora(each.path, key)
        fit = place(file, parts, strict)
        for placed in fit.placed:
            scale = each.of(placed.role) * placed.pair.factor
            terms[placed.role].setdefault(placed.weight, []).append((scale, placed))
        rows.append(_row(each, file, fit))
        notes += [f"{file.path}: {note}" for note in (*file.notes, *_left_out(fit))]
    changed = {role: tuple(found) for role, found in terms.items() if found}
    made = {role: merged_part(part, terms[role]) for role, part in parts.items()}
    return Merged(made, changed, tuple(rows), tuple(notes))


def _row(wanted: Wanted, file: LoraFile, fit: Fit) -> str:
    ranks = sorted({placed.pair.rank for placed in fit.placed})
    shown = f"{ranks[0]}" if len(ranks) == 1 else f"{ranks[0]} to {ranks[-1]}"
    text = sum(placed.role == "text_encoder" for placed in fit.placed)
    strengths = f"{wanted.strength:g}"
    if text and wanted.text != wanted.strength:
        strengths += f", of the text encoder {wanted.text:g}"
    beside = f", {text} of them of the text encoder" if text else ""
    return f"{file.path} ({file.naming}), strength {strengths}: {len(fit.placed)} layers{beside}, rank {shown}"


def _left_out(fit: Fit) -> Iterator[str]:
    if fit.unknown:
        yield f"{len(fit.unknown)} layers have no place in the base and are left out, first {fit.unknown[0]}"


def merged_part(part: Part, terms: Terms) -> Part:
    """A network with LoRAs added to its tensors."""
    arrays = dict(part.arrays)
    if any(name not in arrays for name in terms):
        arrays |= inherited(part)
    for name, added in terms.items():
        if name not in arrays:
            raise InputFileError(f"the base has no tensor {name}, which a LoRA is to be added to")
        base = arrays[name]
        arrays[name] = replace(base, get=functools.partial(_sum, base, tuple(added)))
    return replace(part, arrays=arrays)


def inherited(part: Part) -> dict[str, Lazy]:
    """First values of tensors that a network made from its base's weights has beyond these, where
    LoRAs are added to them (`Network.fresh`). They depend on the base alone, so that a LoRA file is
    enough to have the trained network again.
    """
    network, found = part.network, {}
    for entry in network.formats[0].entries(part.spec) if network.base else ():
        if entry.ours not in part.arrays and network.base_name(entry.ours) is None:
            value = network.fresh(entry.ours, entry.our_shape)
            found[entry.ours] = part.arrays[value] if isinstance(value, str) else as_lazy(value)
    return found


def _sum(base: Lazy, added: Sequence[tuple[float, Placed]]) -> np.ndarray:
    total = np.array(base.read(), np.float32)
    for scale, placed in added:
        total += delta(placed, total.shape) * np.float32(scale)
    return total


def delta(placed: Placed, shape: tuple[int, ...]) -> np.ndarray:
    """B A as float32 in the shape of the weight; a kernel stands in A."""
    down = np.asarray(placed.pair.down.read(), np.float32)
    up = np.asarray(placed.pair.up.read(), np.float32)
    rank = len(down)
    return (up.reshape(-1, rank) @ down.reshape(rank, -1)).reshape(shape)


def relative_changes(parts: Mapping[str, Part], merged: Merged) -> Iterable[tuple[str, str, float]]:
    """(role, name, norm of what is added / norm of the weight) of every changed tensor."""
    for role, names in merged.changed.items():
        base = {**inherited(parts[role]), **parts[role].arrays}
        for name in names:
            before = np.asarray(base[name].read(), np.float32)
            after = merged.parts[role].arrays[name].read()
            norm = float(np.linalg.norm(before)) or 1.0
            yield role, name, float(np.linalg.norm(after - before)) / norm
