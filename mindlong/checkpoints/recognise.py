"""Which networks a file holds, and which copy of each is meant."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from mindlong.checkpoints.weight_file import WeightFile
from mindlong.networks import strangers
from mindlong.networks.registry import Hit, find, kinds_of
from mindlong.utils.errors import ConfigError, InputFileError

AVERAGES = ("ema", "model_ema", "unet_ema")  # what trainers call the averaged weights


def recognise(
    weights: WeightFile,
    which: str | None = None,
    family: str | None = None,
    part: str | None = None,
) -> list[Hit]:
    """The networks in a file, one for each part.

    Args:
        which: "ema" or "model" where a trainer's file holds both; None takes the averages where
            there are some.
        family, part: only these. A family that starts from another's weights finds those too
            (`Hit.based`).

    Raises:
        InputFileError: no known network (the sentence says what the file seems to be), or not the
            copy asked for.
        ConfigError: an unknown family or part.
    """
    known = find(weights.names())
    if not known:
        raise InputFileError(f"{weights.path}: {strangers.describe(weights)}")
    hits = find(weights.names(), family, part) if family or part else known
    if family and not any(hit.kind.family == family for hit in hits):
        hits = [*_bases(known, family, part), *hits]
    if not hits:
        wanted = " ".join(word for word in (family, part) if word)
        raise InputFileError(
            f"{weights.path}: holds no {wanted}; it is {'; '.join(hit.reason for hit in known)}"
        )
    parts = dict.fromkeys(hit.kind.part for hit in hits)
    chosen = [
        _copy([hit for hit in hits if hit.kind.part == part], which, weights) for part in parts
    ]
    return [with_others(hit, known) for hit in chosen]


def with_others(hit: Hit, known: Iterable[Hit]) -> Hit:
    """The hit, told which names of the file belong to the other networks and copies that were found
    in it.
    """
    known = list(known)
    others = {other.prefix for other in known} - {hit.prefix, ""}
    sections = {prefix.split(".")[0] + "." for prefix in others}
    copies = {s for s in sections if hit.prefix and not hit.prefix.startswith(s)}
    ignored = dict.fromkeys(pattern for each in (hit, *known) for pattern in each.kind.ignored)
    return replace(hit, others=tuple(sorted((others | copies) - {""})), ignored=tuple(ignored))


def _bases(known: Iterable[Hit], family: str, part: str | None) -> list[Hit]:
    """Networks of the family that `family` starts from, meant for it."""
    found = []
    for hit in known:
        for kind in kinds_of(family, hit.kind.part)[:1]:
            if kind.base == hit.kind.family and part in (None, kind.part):
                found.append(replace(hit, based=kind))
    return found


def _copy(hits: list[Hit], which: str | None, weights: WeightFile) -> Hit:
    """The one of several copies of a network that is wanted."""
    averaged = [hit for hit in hits if any(word in hit.prefix.split(".") for word in AVERAGES)]
    plain = [hit for hit in hits if hit not in averaged]
    if which not in (None, "ema", "model"):
        raise ConfigError(f"--which is {which!r}; it must be ema or model")
    wanted = {None: averaged or plain, "ema": averaged, "model": plain}[which]
    if not wanted:
        held = ", ".join(repr(hit.prefix) for hit in hits)
        raise InputFileError(
            f"{weights.path}: has no copy of the weights called {which!r}; there are {held}"
        )
    return wanted[0]
