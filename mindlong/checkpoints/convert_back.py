"""Weights from our names to an original's, read tensor by tensor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from mindlong.checkpoints.convert import Plan
from mindlong.checkpoints.dtypes import cast_target
from mindlong.checkpoints.lazy import Lazy, as_lazy
from mindlong.checkpoints.parts import own_names
from mindlong.checkpoints.report import compare
from mindlong.checkpoints.weight_file import WeightFile
from mindlong.networks.names import Entry, by_source, source_array

if TYPE_CHECKING:
    from mindlong.networks.format import Format
    from mindlong.networks.table import Match


def to_original(
    arrays: Mapping[str, np.ndarray | Lazy],
    match: Match,
    spec: Any,
    *,
    form: Format | None = None,
    target: str | None = None,
    dtype: str | None = None,
    allow: Sequence[str] = (),
) -> Plan:
    """Plan the way from our names to an original's.

    Args:
        arrays: our names, each behind `match.prefix`; an open WeightFile is read tensor by tensor.
        form: the naming wanted; None: that of `match`.
        target: what stands before the source keys; None: the naming's own.
        dtype: floating tensors are cast to it; None keeps each as it is.
        allow: patterns of our names that may be missing or left over.
    """
    form, prefix = form or match.format, match.prefix
    own = own_names(match, spec)
    names = [
        name
        for name in arrays
        if not (match.others and name.startswith(match.others)) and (own is None or name in own)
    ]
    lazies = {
        name: arrays.lazy(name) if isinstance(arrays, WeightFile) else as_lazy(arrays[name])
        for name in names
    }
    before = form.prefix if target is None else target
    entries = form.named(before, spec)
    report = compare(
        {prefix + e.ours: e.our_shape for e in entries},
        {n: a.shape for n, a in lazies.items()},
        allow,
    )
    mapped, tree = set(report.mapped), dict[str, Any]()
    for source, group in by_source(entries).items():
        if all(prefix + e.ours in mapped for e in group):
            lazy = _source(group, {e.ours: lazies[prefix + e.ours] for e in group}, dtype)
            tree |= dict.fromkeys((source, *group[0].ties), lazy)
    tree |= _tables(form, before, spec, tree)
    return Plan(match, form, spec, report, tree, len(arrays) - len(lazies))


def _tables(form: Format, before: str, spec: Any, tree: Mapping[str, Lazy]) -> dict[str, Lazy]:
    """The tables that an original keeps in its file, in the format of its tensors."""
    formats = {lazy.dtype for lazy in tree.values()}
    usual = formats.pop() if len(formats) == 1 else "float32"
    return {
        before + key: as_lazy(value.astype(np.float16) if usual == "float16" else value)
        for key, value in form.tables(spec).items()
    }


def _source(group: list[Entry], parts: Mapping[str, Lazy], dtype: str | None) -> Lazy:
    formats = {part.dtype for part in parts.values()}
    stored = formats.pop() if len(formats) == 1 else "float32"
    target = cast_target(stored, dtype).name
    alike = all(part.dtype == target for part in parts.values())

    def get() -> np.ndarray:
        return source_array(
            group, {name: part.get() if alike else part.read() for name, part in parts.items()}
        )

    return Lazy(group[0].source_shape, target, get)
