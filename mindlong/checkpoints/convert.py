"""Weights from an original's names to ours and back: which tensor is which, nothing silently left out.

Files are read tensor by tensor; a conversion holds one at a time.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from mindlong.checkpoints.dtypes import cast_target
from mindlong.checkpoints.families import strangers
from mindlong.checkpoints.families.kind import BESIDE, is_ignored, under
from mindlong.checkpoints.families.registry import Hit, find
from mindlong.checkpoints.files import WeightFile
from mindlong.checkpoints.lazy import Lazy
from mindlong.checkpoints.report import Report, compare
from mindlong.spec.names import Entry, by_source, our_array, source_array
from mindlong.utils.errors import ConfigError, InputFileError

AVERAGES = ("ema", "model_ema")  # what trainers call the averaged weights


@dataclass(frozen=True)
class Plan:
    """A conversion that has been worked out and not yet done.

    Attributes:
        hit: which network it is and why.
        spec: its sizes.
        report: which tensors are mapped, missing, left over, misshaped.
        arrays: name on the other side -> tensor still to be read.
        beside: how many keys are stepped over (buffers, optimizer, the other copy of the weights).
        notes: remarks for the user.
    """

    hit: Hit
    spec: Any
    report: Report
    arrays: dict[str, Lazy]
    beside: int = 0
    notes: tuple[str, ...] = ()

    def check(self, what: str) -> None:
        """Raise InputFileError with the table where something does not fit."""
        if not self.report.fits:
            lines = "\n".join(self.report.lines())
            raise InputFileError(f"{what} is not a whole {self.hit.kind.title}: {lines}\n"
                                 "--allow_partial 'PATTERN' lets names pass that may be missing or left over")


def recognise(weights: WeightFile, which: str | None = None, family: str | None = None,
              part: str | None = None) -> list[Hit]:
    """The networks in a file, one for each part.

    Args:
        which: "ema" or "model" where a trainer's file holds both; None takes the averages where there are some.
        family, part: only these.

    Raises:
        InputFileError: no known network (the sentence says what the file seems to be), or not the copy asked for.
    """
    known = find(weights.names())
    if not known:
        raise InputFileError(f"{weights.path}: {strangers.describe(weights)}")
    hits = find(weights.names(), family, part) if family or part else known
    if not hits:
        raise InputFileError(f"{weights.path}: holds no {' '.join(w for w in (family, part) if w)}; "
                             f"it is {'; '.join(hit.reason for hit in known)}")
    parts = dict.fromkeys(hit.kind.part for hit in hits)
    chosen = [_copy([hit for hit in hits if hit.kind.part == part], which, weights) for part in parts]
    return [with_others(hit, known) for hit in chosen]


def with_others(hit: Hit, known: Iterable[Hit]) -> Hit:
    """The hit, told which names of the file belong to the other networks and copies that were found in it."""
    others = {other.prefix for other in known} - {hit.prefix, ""}
    sections = {prefix.split(".")[0] + "." for prefix in others}
    copies = {s for s in sections if hit.prefix and not hit.prefix.startswith(s)}
    return replace(hit, others=tuple(sorted((others | copies) - {""})))


def _copy(hits: list[Hit], which: str | None, weights: WeightFile) -> Hit:
    """The one of several copies of a network that is wanted."""
    averaged = [hit for hit in hits if any(word in hit.prefix.split(".") for word in AVERAGES)]
    plain = [hit for hit in hits if hit not in averaged]
    if which not in (None, "ema", "model"):
        raise ConfigError(f"--which is {which!r}; it must be ema or model")
    wanted = {None: averaged or plain, "ema": averaged, "model": plain}[which]
    if not wanted:
        held = ", ".join(repr(hit.prefix) for hit in hits)
        raise InputFileError(f"{weights.path}: has no copy of the weights called {which!r}; there are {held}")
    return wanted[0]


def to_ours(weights: WeightFile, hit: Hit, *, wishes: Mapping[str, Any] | None = None, spec: Any = None,
            allow: Sequence[str] = ()) -> Plan:
    """Plan the way from an original's file to our names (without the part before them).

    Args:
        wishes: fields of the spec that rule over what the shapes say.
        spec: the whole spec, where it is known already.
        allow: patterns of source keys that may be missing or left over.

    Raises:
        InputFileError: a version that is not supported, or tied tensors that differ.
    """
    shapes = {name: weights.shape(name) for name in weights}
    notes: tuple[str, ...] = ()
    if spec is None:
        try:
            inferred = hit.kind.infer(under(shapes, hit.prefix), wishes or {})
        except InputFileError as error:
            raise InputFileError(f"{weights.path}: {error}") from None
        spec, notes = inferred.spec, inferred.notes
    entries = _with_present_tie(hit.kind.named(hit.prefix, spec), shapes)
    given = {hit.prefix + key: value for key, value in hit.kind.defaults(spec).items()}
    report, beside = _report(hit, entries, shapes, given, allow)
    arrays = {e.ours: _ours(weights, e, given) for e in entries if e.source in report.mapped or e.source in given}
    return Plan(hit, spec, report, arrays, beside, (*notes, *_tie_notes(weights, entries)))


def _with_present_tie(entries: list[Entry], shapes: Mapping[str, Any]) -> list[Entry]:
    """Where only another of its tied keys is in the file, an entry is read from that one."""
    found = []
    for entry in entries:
        keys = [key for key in (entry.source, *entry.ties) if key in shapes] or [entry.source]
        found.append(Entry(entry.ours, keys[0], entry.our_shape, entry.source_shape, tuple(keys[1:]), entry.rows))
    return found


def _report(hit: Hit, entries: list[Entry], shapes: Mapping[str, tuple], given: Mapping[str, Any],
            allow: Sequence[str]) -> tuple[Report, int]:
    needed = {e.source: e.source_shape for e in entries}
    ties = {tie for e in entries for tie in e.ties}
    beside = {name for name in shapes if name not in needed and name not in ties and _is_beside(name, hit)}
    found = {name: shape for name, shape in shapes.items() if name not in ties and name not in beside}
    absent = [name for name in given if name not in found]
    return compare({n: s for n, s in needed.items() if n not in absent}, found, allow), len(beside)


def _is_beside(name: str, hit: Hit) -> bool:
    """True for what is no part of the network: buffers, a trainer's own things, another copy or another network."""
    return is_ignored(name, (*hit.kind.ignored, *BESIDE)) or name.startswith(hit.others)


def _ours(weights: WeightFile, entry: Entry, given: Mapping[str, np.ndarray]) -> Lazy:
    if entry.source not in weights:
        value = given[entry.source].reshape(entry.our_shape)
        return Lazy(entry.our_shape, value.dtype.name, lambda: value)
    return Lazy(entry.our_shape, weights.dtype(entry.source), lambda: our_array(entry, weights.read(entry.source)))


def _tie_notes(weights: WeightFile, entries: list[Entry]) -> list[str]:
    """Tied keys must hold the same numbers, because we keep one of them."""
    tied = [e for e in entries if e.ties and e.source in weights]
    for entry in tied:
        first = weights.read(entry.source)
        for tie in entry.ties:
            if weights.shape(tie) != first.shape or not np.array_equal(weights.read(tie), first, equal_nan=True):
                raise InputFileError(f"{weights.path}: {tie} and {entry.source} must be one tensor, and they differ")
    return [f"{1 + len(e.ties)} keys of the file are one tensor: {e.ours}" for e in tied]


def to_original(arrays: Mapping[str, np.ndarray], hit: Hit, spec: Any, allow: Sequence[str] = (),
                target: str | None = None, dtype: str | None = None) -> Plan:
    """Plan the way from our names to those of the original that `hit.kind` is.

    Args:
        arrays: our names, each behind `hit.prefix`; an open WeightFile is read tensor by tensor.
        target: what stands before the source keys; None: the kind's own.
        dtype: floating tensors are cast to it; None keeps each as it is.
        allow: patterns of our names that may be missing or left over.
    """
    kind, prefix = hit.kind, hit.prefix
    lazies = {name: _lazy(arrays, name) for name in arrays if not (hit.others and name.startswith(hit.others))}
    entries = kind.named(kind.prefix if target is None else target, spec)
    report = compare({prefix + e.ours: e.our_shape for e in entries}, {n: a.shape for n, a in lazies.items()}, allow)
    mapped, tree = set(report.mapped), {}
    for source, group in by_source(entries).items():
        if all(prefix + e.ours in mapped for e in group):
            lazy = _source(group, {e.ours: lazies[prefix + e.ours] for e in group}, dtype)
            tree |= dict.fromkeys((source, *group[0].ties), lazy)
    return Plan(hit, spec, report, tree, len(arrays) - len(lazies))


def _lazy(arrays: Mapping[str, np.ndarray], name: str) -> Lazy:
    if isinstance(arrays, WeightFile):
        return arrays.lazy(name)
    array = arrays[name]
    return array if isinstance(array, Lazy) else Lazy(array.shape, array.dtype.name, lambda: array)


def _source(group: list[Entry], parts: Mapping[str, Lazy], dtype: str | None) -> Lazy:
    def read() -> np.ndarray:
        return source_array(group, {name: part.read() for name, part in parts.items()})

    formats = {part.dtype for part in parts.values()}
    stored = formats.pop() if len(formats) == 1 else "float32"
    return Lazy(group[0].source_shape, cast_target(stored, dtype).name, read)


def our_weights(weights: WeightFile, kind_of: tuple[str, str], entries: Sequence[Entry], which: str | None = None,
                allow: Sequence[str] = ()) -> dict[str, Lazy]:
    """The tensors of one network under our names, from a file of ours or of the original, whichever it is.

    Args:
        kind_of: (family, part).
        entries: what the network needs, from its spec; only their `ours` and `our_shape` matter.

    Raises:
        InputFileError: not such a file, or it does not fit the entries.
    """
    hit = recognise(weights, which, *kind_of)[0]
    if hit.ours:
        held = {name.removeprefix(hit.prefix): weights.lazy(name) for name in weights if name.startswith(hit.prefix)}
    else:
        plan = to_ours(weights, hit, allow=allow)
        plan.check(str(weights.path))
        held = plan.arrays
    report = compare({e.ours: e.our_shape for e in entries}, {n: a.shape for n, a in held.items()}, allow)
    if not report.fits:
        raise InputFileError("\n".join([f"{weights.path} does not fit the network: {report.summary()}",
                                        *report.lines()[1:]]))
    return held
