"""Which layer of which network each pair of a LoRA file changes, every shape held against the
base.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING

from mindlong.checkpoints.lora import keys
from mindlong.networks.lora_names import WEIGHT, Layer, by_joined_name, by_name
from mindlong.utils.errors import InputFileError, did_you_mean
from mindlong.utils.shown import shown

if TYPE_CHECKING:
    from mindlong.checkpoints.lora.read import LoraFile, Pair
    from mindlong.checkpoints.parts import Part

WIDTHS = {768: "Stable Diffusion 1.x", 1024: "Stable Diffusion 2.x", 2048: "Stable Diffusion XL"}


@dataclass(frozen=True)
class Placed:
    """A pair and the layer that it changes."""

    role: str
    layer: Layer
    pair: Pair

    @property
    def weight(self) -> str:
        """Our name of the tensor that changes."""
        return self.layer.ours + WEIGHT


@dataclass(frozen=True)
class Fit:
    """How a file goes with a base: what is changed, and keys (stems) that have no place."""

    placed: tuple[Placed, ...]
    unknown: tuple[str, ...]


def place(file: LoraFile, parts: Mapping[str, Part], strict: bool = True) -> Fit:
    """Find the layers.

    Args:
        parts: role -> network of the base.
        strict: pairs without a layer are an error.

    Raises:
        InputFileError: a pair of another shape than its layer; with `strict`, pairs whose layer the
            base does not have.
    """
    tables = {role: _Tables(part) for role, part in parts.items()}
    if file.pairs and file.pairs[0].place.naming == keys.LIST:
        found = _of_list(file, parts)
    else:
        found = [
            (pair, tables[pair.place.role].layer(pair) if pair.place.role in tables else None)
            for pair in file.pairs
        ]
    unknown = [pair for pair, layer in found if layer is None]
    if unknown and (strict or len(unknown) == len(found)):
        raise InputFileError(_unknown(file, unknown, len(found), tables))
    placed = [Placed(pair.place.role, layer, pair) for pair, layer in found if layer is not None]
    for each in placed:
        check_shapes(file, each, parts[each.role])
    return Fit(tuple(placed), tuple(pair.stem for pair in unknown))


class _Tables:
    """The names of a network's layers."""

    def __init__(self, part: Part) -> None:
        self.dotted = by_name(part.network, part.spec)
        self.joined = by_joined_name(part.network, part.spec)

    def layer(self, pair: Pair) -> Layer | None:
        """The layer of a pair, None where there is none."""
        table = self.joined if pair.place.joined else self.dotted
        return next((table[name] for name in pair.place.names if name in table), None)


def _of_list(file: LoraFile, parts: Mapping[str, Part]) -> list[tuple[Pair, Layer | None]]:
    part = parts[keys.NETWORK]
    form = next((form for form in part.network.formats if form.listed), None)
    if form is None or form.listed is None:
        raise InputFileError(
            f"{file.path}: is a list of tensors without names, whose order is known for T2V-Turbo on "
            f"VideoCrafter2 alone; the base is {part.network.about}"
        )
    names, table = form.listed(part.spec), by_name(part.network, part.spec)
    if len(names) != len(file.pairs):
        raise InputFileError(
            f"{file.path}: is a list of {len(file.pairs)} pairs without names; a network of this base's "
            f"size has {len(names)} layers in T2V-Turbo's order"
        )
    return [(pair, table.get(name)) for pair, name in zip(file.pairs, names, strict=True)]


def _unknown(
    file: LoraFile, unknown: Sequence[Pair], total: int, tables: Mapping[str, _Tables]
) -> str:
    listed = ", ".join(shown(pair.stem, most=150) for pair in unknown[:3])
    said = f"{file.path}: the base has no layer for {len(unknown)} of {total} pairs: {listed}"
    first = unknown[0].place
    if first.naming == keys.LIST:
        return (
            f"{file.path}: the list has a layer that takes the guidance as a number, and the base has "
            "none: it needs a base with time_cond_proj"
        )
    if first.role not in tables:
        return f"{said} (they belong to a {first.role}, which this base has not)"
    table = tables[first.role].joined if first.joined else tables[first.role].dotted
    return f"{said}.{did_you_mean(first.names[0], table)} lora_strict=false leaves them out"


def check_shapes(file: LoraFile, placed: Placed, part: Part) -> None:
    """Hold the matrices of a pair against the weight that they change.

    Raises:
        InputFileError: naming the layer, what the file has and what is needed.
    """
    down, up = placed.pair.down.shape, placed.pair.up.shape
    cout, *inner = placed.layer.shape
    if prod(up) != up[0] * up[1]:
        raise InputFileError(
            f"{file.path}: the up matrix of {shown(placed.pair.stem)} is {list(up)}; a kernel stands in the "
            "down matrix, never in the up one"
        )
    if up[0] == cout and _trimmed(down[1:]) == _trimmed(inner):
        return
    rank = placed.pair.rank
    raise InputFileError(
        f"{file.path}: {shown(placed.pair.stem)} is down {list(down)} and up {list(up)}; the layer "
        f"{placed.layer.source} of {part.network.about} needs down {[rank, *inner]} and up {[cout, rank]}"
        f"{_bases(placed, down[1], inner[0])}"
    )


def _bases(placed: Placed, have: int, need: int) -> str:
    if not placed.layer.ours.endswith("attn2.to_k") or have == need:
        return ""
    said = (
        f"{width} is the width of prompts in {WIDTHS[width]}"
        for width in (have, need)
        if width in WIDTHS
    )
    return ": " + ", ".join(said)


def _trimmed(shape: Sequence[int]) -> tuple[int, ...]:
    """The inputs, and the kernel without its axes of length one, of which layouts differ."""
    return tuple(n for place, n in enumerate(shape) if n != 1 or not place)
