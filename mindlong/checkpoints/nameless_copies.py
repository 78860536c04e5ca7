"""Averaged weights that a file holds without the names of their tensors, given these names.

Two customs: the latent diffusion lineage (`LitEma`) writes the names without their dots,
`model_ema.diffusion_modelout2weight`; torch_ema and diffusers' `EMAModel` write a list in the order
of the parameters, `shadow_params.0`. Both are read where the plain weights lie in the same file and
every name and shape agrees.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from mindlong.networks.table import find

if TYPE_CHECKING:
    from mindlong.checkpoints.lazy import Lazy
    from mindlong.checkpoints.weight_file import WeightFile

DOTLESS = "model_ema."
COUNTERS = ("decay", "num_updates")
_LISTED = re.compile(r"(.*\.)?(shadow_params|ema_params|averaged_params)\.(\d+)")


def with_names(weights: WeightFile) -> WeightFile:
    """The same file with averaged weights under full names, where it has such; else as it is."""
    rows = dict(weights.rows)
    notes = [*_dotless(rows), *_listed(rows)]
    return replace(weights, rows=rows, notes=(*weights.notes, *notes)) if notes else weights


def _dotless(rows: dict[str, Lazy]) -> Iterator[str]:
    """Rename what `LitEma` wrote, in place; a note where that was done."""
    places = {name.split(DOTLESS)[0] for name in rows if _is_dotless(name)}
    for place in sorted(places):
        start = place + DOTLESS
        dotless = [n for n in rows if n.startswith(start) and n[len(start) :] not in COUNTERS]
        full = _full_names(rows, place)
        if all(
            full.get(n[len(start) :]) and _alike(rows, n, full[n[len(start) :]][0]) for n in dotless
        ):
            new = {n: start + full[n[len(start) :]][1] for n in dotless}
            _rename(rows, new)
            yield f"the {len(new)} averaged tensors {start}* are named without dots; they are read under full names"
        else:
            yield f"the averaged tensors {start}* are named without dots and do not fit the plain ones; not read"


def _is_dotless(name: str) -> bool:
    before, found, rest = name.rpartition(DOTLESS)
    return bool(found and rest) and "." not in rest and (not before or before.endswith("."))


def _full_names(rows: Mapping[str, Lazy], place: str) -> dict[str, tuple[str, str]]:
    """Name without dots -> (plain tensor's name in the file, its name behind the beginning)."""
    found: dict[str, tuple[str, str]] = {}
    for base in (f"{place}model.", place):
        for name in rows:
            inner = name[len(base) :]
            if name.startswith(base) and not inner.startswith(DOTLESS):
                found.setdefault(inner.replace(".", ""), (name, inner))
    return found


def _alike(rows: Mapping[str, Lazy], one: str, other: str) -> bool:
    return rows[one].shape == rows[other].shape


def _listed(rows: dict[str, Lazy]) -> Iterator[str]:
    """Name the tensors of a list, in place; a note either way."""
    lists: dict[str, list[str]] = {}
    for name in rows:
        match = _LISTED.fullmatch(name)
        if match:
            lists.setdefault(f"{match[1] or ''}{match[2]}.", []).append(name)
    for start, members in lists.items():
        members.sort(key=lambda name: int(name.rpartition(".")[2]))
        names = _in_order(rows, members)
        if names:
            _rename(rows, dict(zip(members, (start + name for name in names), strict=True)))
            yield f"the list {start}* of {len(members)} averaged tensors is read under the names of the plain ones"
        else:
            yield (
                f"the averaged weights {start}* are a list without names, and no network in the file has "
                f"{len(members)} tensors of these shapes; they are not read"
            )


def _in_order(rows: Mapping[str, Lazy], members: list[str]) -> list[str]:
    """The names behind the prefix of the one plain network whose tensors, in the order of the file,
    have the shapes of the list.
    """
    shapes = [rows[name].shape for name in members]
    for match in find(rows):
        if match.ours:
            continue
        ignored = re.compile("|".join(f"(?:{p})" for p in match.format.ignored) or "(?!)")
        held = [n for n in rows if n.startswith(match.prefix) and not _LISTED.fullmatch(n)]
        for plain in (
            held,
            [n for n in held if not ignored.fullmatch(n)],
        ):  # buffers are no parameters
            if [rows[n].shape for n in plain] == shapes:
                return [n[len(match.prefix) :] for n in plain]
    return []


def _rename(rows: dict[str, Lazy], new: Mapping[str, str]) -> None:
    kept = list(rows.items())
    rows.clear()
    rows.update((new.get(name, name), lazy) for name, lazy in kept)
