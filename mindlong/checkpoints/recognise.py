"""Which networks a file holds, and which copy of each is meant."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from mindlong.checkpoints import copies, description
from mindlong.networks import strangers, table
from mindlong.networks.format import BESIDE, is_ignored
from mindlong.networks.table import Match, find
from mindlong.utils.errors import ConfigError, InputFileError

if TYPE_CHECKING:
    from mindlong.checkpoints.weight_file import WeightFile


def recognise(
    weights: WeightFile,
    which: str | None = None,
    family: str | None = None,
    part: str | None = None,
) -> list[Match]:
    """The networks in a file, one for each part.

    Args:
        which: "ema" or "model" where a trainer's file holds both, or the beginning of the names
            wanted; None takes the averages where there are some.
        family, part: only these. A family that starts from another's weights finds those too
            (`Match.based`).

    Raises:
        InputFileError: no known network (the sentence says what the file seems to be), or not the
            copy asked for.
        ConfigError: an unknown family or part.
    """
    known = found(weights)
    if not known:
        raise InputFileError(f"{weights.path}: {strangers.describe(weights)}")
    matches = _asked(weights, family, part) if family or part else known
    if family and not any(match.network.family == family for match in matches):
        matches = [*_bases(known, family, part), *matches]
    if not matches or (not part and _other_network(matches, known, family)):
        _refuse_rest(weights, known, find(weights.names(), extras=True))
        wanted = " ".join(word for word in (family, part) if word)
        raise InputFileError(
            f"{weights.path}: holds no {wanted}; it is {'; '.join(match.reason for match in known)}"
        )
    parts = dict.fromkeys(match.network.part for match in matches)
    chosen = [
        copies.choose(
            [match for match in matches if match.network.part == part], which, str(weights.path)
        )
        for part in parts
    ]
    _refuse_unclear(weights, chosen, family)
    if family is None:
        chosen = [_as_said(weights, match) for match in chosen]
    everything = find(weights.names(), extras=True)
    if not part and not any(match.network.role == "network" for match in chosen):
        _refuse_rest(weights, chosen, everything)
    return [with_others(match, everything) for match in chosen]


def _as_said(weights: WeightFile, match: Match) -> Match:
    """The match as the family that a file of ours says it is of, where its tensors may be that's
    too: a network of one family with an addition can have all names of another one.
    """
    if not match.ours or match.network.role != "network":
        return match
    try:
        model = description.read_model(weights, None)
        said = description.part_of(model, match.network.part, str(weights.path)).get("family")
    except ConfigError:  # nothing says it; who needs to know says so
        return match
    if said == match.network.family or said not in table.families("network"):
        return match
    others = find(weights.names(), said, match.network.part)
    return next((m for m in others if m.ours and m.prefix == match.prefix), match)


def found(weights: WeightFile, extras: bool = False) -> list[Match]:
    """Every network in a file (see `mindlong.networks.table.find`); of several whose tensors have
    the same names, those that the shapes leave.
    """
    return [_narrowed(match, weights) for match in find(weights.names(), extras=extras)]


def _asked(weights: WeightFile, family: str | None, part: str | None) -> list[Match]:
    matches = find(weights.names(), family, part)
    return matches if family else [_narrowed(match, weights) for match in matches]


def _narrowed(match: Match, weights: WeightFile) -> Match:
    if match.ours or not match.network.alike:
        return match
    shapes = {
        name[len(match.prefix) :]: weights.shape(name)
        for name in weights
        if name.startswith(match.prefix)
    }
    forms = [
        form
        for name in match.network.alike
        for form in table.get(name).formats
        if form.layout == match.format.layout and form.fits(shapes)
    ]
    fitting = tuple(form.network.family for form in forms)
    return replace(match, format=forms[0], alike=fitting) if forms else match


def _refuse_unclear(weights: WeightFile, chosen: Sequence[Match], family: str | None) -> None:
    """Raise where a network is another that looks alike, or nothing says which of several."""
    for match in chosen:
        stranger = instead(match, weights)
        if stranger:
            raise InputFileError(f"{weights.path}: {stranger}")
    for match in chosen:
        if family is None and len(match.alike) > 1:
            raise ConfigError(undecided(match, str(weights.path)))


def _other_network(matches: Iterable[Match], known: Iterable[Match], family: str | None) -> bool:
    """Whether the family asked for is that of a network and the file's is another one."""
    if family is None or table.get(family).role != "network":
        return False
    return any(m.network.role == "network" for m in known) and not any(
        m.network.role == "network" for m in matches
    )


def undecided(match: Match, where: str) -> str:
    """A sentence on a file that may be of several networks, whose tensors are alike."""
    names = match.alike
    likely = [n for n in names if n.rpartition("_")[2] in where.lower()]
    hint = f" (its name says {likely[-1]})" if likely else ""
    return (
        f"{where}: {', '.join(names)} have the same tensors, so the file does not say which it is; say it with "
        f"latent.family={(likely or names)[-1]} or, once, with convert_checkpoint.py --family, whose file "
        f"keeps the word{hint}"
    )


def _refuse_rest(weights: WeightFile, chosen: Iterable[Match], everything: Iterable[Match]) -> None:
    """Where known parts lie beside a network of another kind, the sentence names that one."""
    apart = [match for match in everything if match.network.asked_for]  # known, left out
    known = (*(m.prefix for m in chosen), *(m.prefix or _section(m) for m in apart))
    rest = [name for name in weights if not name.startswith(known)]
    what = strangers.model(rest)
    if what:
        raise InputFileError(f"{weights.path}: {what}")


def _section(match: Match) -> str:
    """The first word of the names of a network that stands at the top of its file."""
    return match.format.markers[0].split(".")[0] + "."


def instead(match: Match, weights: WeightFile) -> str:
    """What the network is that was taken for a known one, as the end of a sentence; "" where it is
    that one.
    """
    if match.ours:
        return ""
    inside = [name[len(match.prefix) :] for name in weights if name.startswith(match.prefix)]
    return strangers.instead(match.network.part, inside)


def with_others(match: Match, known: Iterable[Match]) -> Match:
    """The match with the names of the file that belong to the other networks and copies found in
    it.
    """
    known = list(known)
    others = {other.prefix for other in known} - {match.prefix, ""}
    sections = {prefix.split(".")[0] + "." for prefix in others}
    outside = {s for s in sections if match.prefix and not match.prefix.startswith(s)}
    extra = match.network.asked_for  # what an extra steps over may hold weights of the others
    alike = [
        m for m in known if m.network.asked_for == extra or (extra and m.network.role == "network")
    ]
    ignored = dict.fromkeys(pattern for each in (match, *alike) for pattern in each.format.ignored)
    ignored |= dict.fromkeys(copies.COMPANY)
    if match.prefix and any(not o.prefix and o.network.part == match.network.part for o in known):
        ignored[f"(?!{re.escape(match.prefix)}).*"] = None  # the other copy has no word before it
    return replace(match, others=tuple(sorted((others | outside) - {""})), ignored=tuple(ignored))


def is_company(name: str, matches: Iterable[Match]) -> bool:
    """True for what stands beside networks and is no part of them: buffers, masks, counters, an
    optimizer's state.
    """
    patterns = dict.fromkeys(pattern for match in matches for pattern in match.format.ignored)
    return is_ignored(name, (*patterns, *BESIDE, *copies.COMPANY))


def _bases(known: Iterable[Match], family: str, part: str | None) -> list[Match]:
    """Networks of the family that `family` starts from, meant for it."""
    wanted = table.get(family)
    return [
        replace(match, based=wanted)
        for match in known
        if wanted.base == match.network.family and part in (None, wanted.part, wanted.role)
    ]
