"""Weights from an original's names to ours: which tensor is which, nothing silently left out.
`convert_back` is the other way.

Files are read tensor by tensor; a conversion holds one at a time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from mindlong.checkpoints.dtypes import FLOATS, whole_numbers
from mindlong.checkpoints.lazy import Lazy
from mindlong.checkpoints.report import Report, compare
from mindlong.config.section import spec_of
from mindlong.networks.format import BESIDE, Format, is_ignored, under
from mindlong.networks.names import Entry, our_array
from mindlong.networks.network import Network, made
from mindlong.utils.errors import InputFileError
from mindlong.utils.needed import needed
from mindlong.utils.shown import shown

if TYPE_CHECKING:
    from mindlong.checkpoints.weight_file import WeightFile
    from mindlong.networks.table import Match

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Plan:
    """A conversion that has been worked out and not yet done.

    Attributes:
        match: which network it is and why.
        format: the network and the naming on the other side.
        spec: its sizes.
        report: which tensors are mapped, missing, left over, misshaped.
        arrays: name on the other side -> tensor still to be read.
        beside: how many keys are stepped over (buffers, optimizer, other networks, the other copy
            of the weights).
        notes: remarks for the user.
        whole: tensors of whole numbers in the place of weights, as "'name' (int8)".
    """

    match: Match
    format: Format
    spec: Any
    report: Report
    arrays: dict[str, Lazy]
    beside: int = 0
    notes: tuple[str, ...] = ()
    whole: tuple[str, ...] = ()

    def check(self, what: str, advice: str = "") -> None:
        """Raise InputFileError with the table where something does not fit, `advice` below it, or
        where a weight is stored as whole numbers.
        """
        if not self.report.fits:
            lines = [*self.report.lines(), *([advice] if advice else [])]
            raise InputFileError(
                f"{what} is not a whole {self.match.format.title}: " + "\n".join(lines)
            )
        if self.whole:
            raise InputFileError(f"{what}: {whole_numbers(self.whole)}")


def to_ours(
    weights: WeightFile,
    match: Match,
    *,
    overrides: Mapping[str, Any] | None = None,
    spec: Any = None,
    allow: Sequence[str] = (),
) -> Plan:
    """Plan the way from an original's file to our names (without the part before them).

    Args:
        overrides: fields of the spec that rule over what the shapes and the config.json beside them
            say.
        spec: the whole spec, where it is known already.
        allow: patterns of source keys that may be missing or left over.

    Raises:
        InputFileError: a version that is not supported, or tied tensors that differ.
    """
    if match.based:
        return _from_base(weights, match, overrides, spec, allow)
    shapes = {name: weights.shape(name) for name in weights}
    spec, notes = (
        (spec, ()) if spec is not None else _inferred(weights, match, shapes, overrides or {})
    )
    entries = _with_present_tie(match.format.named(match.prefix, spec), shapes)
    shapes, axes = _without_idle_axes(entries, shapes)
    given = {match.prefix + key: value for key, value in match.format.defaults(spec).items()}
    report, beside = _report(match, entries, shapes, given, allow)
    mapped = set(report.mapped)
    arrays = {
        e.ours: _ours(weights, e, given) for e in entries if e.source in mapped or e.source in given
    }
    return Plan(
        match,
        match.format,
        spec,
        report,
        arrays,
        beside,
        (*notes, *axes, *_tie_notes(weights, entries)),
        tuple(
            f"{shown(name, most=200)!r} ({weights.dtype(name)})"
            for name in report.mapped
            if weights.dtype(name) not in FLOATS
        ),
    )


def _inferred(
    weights: WeightFile, match: Match, shapes: Mapping[str, Shape], overrides: Mapping[str, Any]
) -> tuple[Any, tuple[str, ...]]:
    try:
        said = match.format.config(weights.config_of(match.prefix))
        declared, notes = _declared(weights, match, said)
        inferred = match.format.infer(
            under(shapes, match.prefix), {**said, **declared, **overrides}
        )
    except InputFileError as error:
        raise InputFileError(f"{weights.path}: {error}") from None
    return inferred.spec, (*notes, *inferred.notes)


def _declared(
    weights: WeightFile, match: Match, said: Mapping[str, Any]
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Fields of a text encoder's spec that its tokenizer's files declare, and remarks."""
    text = match.network.text
    folder = weights.tokenizer(text.files) if text and text.declares else None
    found = made(text.declares)(folder) if text and folder else {}
    notes = [
        f"{key} is {value}, as the tokenizer declares; config.json says {said[key]}"
        for key, value in found.items()
        if said.get(key, value) != value
    ]
    return found, tuple(notes)


def _from_base(
    weights: WeightFile,
    match: Match,
    overrides: Mapping[str, Any] | None,
    spec: Any,
    allow: Sequence[str],
) -> Plan:
    """The tensors that a network starts from, out of a file of its base family; the others start
    fresh.
    """
    wanted = needed(match.based, "the network that starts from these weights")
    inner = replace(match, based=None)
    if spec is None:
        plain = to_ours(weights, inner, overrides=overrides, allow=allow)
        spec = spec_of(
            wanted.section(plain.spec)
        )  # what differs from the published sizes of `wanted`
    else:
        plain = to_ours(weights, inner, spec=spec_of(match.network.section(spec)), allow=allow)
    arrays, fresh = started(wanted, spec, plain.arrays)
    note = f"{len(fresh)} tensors of {wanted.family} are not in such a file and start fresh, for instance {fresh[0]}"
    return replace(
        plain,
        match=match,
        format=wanted.formats[0],
        spec=spec,
        arrays=arrays,
        notes=(*plain.notes, note),
    )


def started(
    wanted: Network, spec: Any, base: Mapping[str, Lazy]
) -> tuple[dict[str, Lazy], list[str]]:
    """What a network takes over from one of its base family, both under our names, and the names
    that start fresh.
    """
    arrays, fresh = {}, []
    for entry in wanted.formats[0].entries(spec):
        name = wanted.base_name(entry.ours)
        if name is None:
            fresh.append(entry.ours)
        elif name in base:
            arrays[entry.ours] = base[name]
    return arrays, fresh


def _with_present_tie(entries: list[Entry], shapes: Mapping[str, Any]) -> list[Entry]:
    """Where only another of its tied keys is in the file, an entry is read from that one."""
    found = []
    for entry in entries:
        keys = [key for key in (entry.source, *entry.ties) if key in shapes] or [entry.source]
        found.append(replace(entry, source=keys[0], ties=tuple(keys[1:])))
    return found


def _without_idle_axes(
    entries: list[Entry], shapes: Mapping[str, Shape]
) -> tuple[dict[str, Shape], list[str]]:
    """The shapes as the entries have them, where they differ only in axes of length one at the
    end.
    """
    needed, changed = {e.source: e.source_shape for e in entries}, {}
    for name, shape in shapes.items():
        wanted = needed.get(name, shape)
        if shape != wanted and _trimmed(shape) == _trimmed(wanted):
            changed[name] = wanted
    notes = [
        f"{len(changed)} tensors have other axes of length one than usual, first {first}"
        for first in list(changed)[:1]
    ]
    return {**shapes, **changed}, notes


def _trimmed(shape: Shape) -> Shape:
    while len(shape) > 1 and shape[-1] == 1:
        shape = shape[:-1]
    return shape


def _report(
    match: Match,
    entries: list[Entry],
    shapes: Mapping[str, Shape],
    given: Mapping[str, Any],
    allow: Sequence[str],
) -> tuple[Report, int]:
    needed = {e.source: e.source_shape for e in entries}
    ties = {tie for e in entries for tie in e.ties}
    beside = {
        name
        for name in shapes
        if name not in needed and name not in ties and _is_beside(name, match)
    }
    found = {
        name: shape for name, shape in shapes.items() if name not in ties and name not in beside
    }
    absent = {name for name in given if name not in found}
    return compare({n: s for n, s in needed.items() if n not in absent}, found, allow), len(beside)


def _is_beside(name: str, match: Match) -> bool:
    """True for what is no part of the network: buffers, a trainer's own things, another copy or
    another network.
    """
    return is_ignored(name, (*match.format.ignored, *match.ignored, *BESIDE)) or name.startswith(
        match.others
    )


def _ours(weights: WeightFile, entry: Entry, given: Mapping[str, np.ndarray]) -> Lazy:
    if entry.source not in weights:
        value = given[entry.source].reshape(entry.our_shape)
        return Lazy(entry.our_shape, value.dtype.name, lambda: value)
    row = weights.lazy(entry.source)
    return Lazy(entry.our_shape, row.dtype, lambda: our_array(entry, row.get()))


def _tie_notes(weights: WeightFile, entries: list[Entry]) -> list[str]:
    """Tied keys must hold the same numbers, because we keep one of them."""
    tied = [e for e in entries if e.ties and e.source in weights]
    for entry in tied:
        first = weights.read(entry.source)
        for tie in entry.ties:
            if weights.shape(tie) != first.shape or not np.array_equal(
                weights.read(tie), first, equal_nan=True
            ):
                raise InputFileError(
                    f"{weights.path}: {tie} and {entry.source} must be one tensor, and they differ"
                )
    return [f"{1 + len(e.ties)} keys of the file are one tensor: {e.ours}" for e in tied]
