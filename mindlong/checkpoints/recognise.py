"""Which networks a file holds, and which copy of each is meant."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from mindlong.checkpoints.weight_file import WeightFile
from mindlong.networks import strangers, table
from mindlong.networks.table import Match, find
from mindlong.utils.errors import ConfigError, InputFileError

AVERAGES = ("ema", "model_ema", "unet_ema")  # what trainers call the averaged weights


def recognise(
    weights: WeightFile,
    which: str | None = None,
    family: str | None = None,
    part: str | None = None,
) -> list[Match]:
    """The networks in a file, one for each part.

    Args:
        which: "ema" or "model" where a trainer's file holds both; None takes the averages where
            there are some.
        family, part: only these. A family that starts from another's weights finds those too
            (`Match.based`).

    Raises:
        InputFileError: no known network (the sentence says what the file seems to be), or not the
            copy asked for.
        ConfigError: an unknown family or part.
    """
    known = find(weights.names())
    if not known:
        raise InputFileError(f"{weights.path}: {strangers.describe(weights)}")
    matches = find(weights.names(), family, part) if family or part else known
    if family and not any(match.network.family == family for match in matches):
        matches = [*_bases(known, family, part), *matches]
    if not matches:
        wanted = " ".join(word for word in (family, part) if word)
        raise InputFileError(
            f"{weights.path}: holds no {wanted}; it is {'; '.join(match.reason for match in known)}"
        )
    parts = dict.fromkeys(match.network.part for match in matches)
    chosen = [
        _copy([match for match in matches if match.network.part == part], which, weights)
        for part in parts
    ]
    everything = find(weights.names(), extras=True)
    return [with_others(match, everything) for match in chosen]


def with_others(match: Match, known: Iterable[Match]) -> Match:
    """The match with the names of the file that belong to the other networks and copies found in
    it.
    """
    known = list(known)
    others = {other.prefix for other in known} - {match.prefix, ""}
    sections = {prefix.split(".")[0] + "." for prefix in others}
    copies = {s for s in sections if match.prefix and not match.prefix.startswith(s)}
    alike = [m for m in known if m.network.asked_for == match.network.asked_for]
    ignored = dict.fromkeys(pattern for each in (match, *alike) for pattern in each.format.ignored)
    return replace(match, others=tuple(sorted((others | copies) - {""})), ignored=tuple(ignored))


def _bases(known: Iterable[Match], family: str, part: str | None) -> list[Match]:
    """Networks of the family that `family` starts from, meant for it."""
    wanted = table.get(family)
    return [
        replace(match, based=wanted)
        for match in known
        if wanted.base == match.network.family and part in (None, wanted.part, wanted.role)
    ]


def _copy(matches: list[Match], which: str | None, weights: WeightFile) -> Match:
    """The one of several copies of a network that is wanted."""
    averaged = [
        match for match in matches if any(word in match.prefix.split(".") for word in AVERAGES)
    ]
    plain = [match for match in matches if match not in averaged]
    if which not in (None, "ema", "model"):
        raise ConfigError(f"--which is {which!r}; it must be ema or model")
    wanted = {None: averaged or plain, "ema": averaged, "model": plain}[which]
    if not wanted:
        held = ", ".join(repr(match.prefix) for match in matches)
        raise InputFileError(
            f"{weights.path}: has no copy of the weights called {which!r}; there are {held}"
        )
    return wanted[0]
