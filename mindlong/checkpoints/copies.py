"""Several copies of one network in a file: plain and averaged weights, an optimizer's moments.

What a copy is follows from the words in front of its names, `ema_model.`, `online_model.`,
`moment1.`; the word that stands last rules, so that `ema.online_model.` is plain.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from mindlong.utils.errors import InputFileError

if TYPE_CHECKING:
    from mindlong.networks.table import Match

PLAIN, AVERAGED, MOMENT = "model", "ema", "optimizer"
WORDS = {"ema", "emas", "avg", "average", "averaged", "averages", "swa", "polyak", "shadow"}
_NOT_EMA = ("schema", "cinema")
_ONLINE = {"online", "live"}
_MOMENT = re.compile(
    r"(exp_avg(_sq)?|max_exp_avg_sq|moments?[12]?|adam_[mv]|momentum(_buffer)?|accum\w*|velocity|grads?|"
    r"swap|optimizers?|optimizer_states?|opt(_state)?|optim)"
)
_PAIRED = {"m", "v"}  # an optimizer's two moments, where both are there
COMPANY = (  # counters and a trainer's own things beside weights, as regular expressions
    r"(.*\.)?(initted|steps?|num_updates|n_averaged|updates|decay|optimization_step|ema_decay|ema_step|"
    r"epochs?|epoch_num|step_num|cur_step|iteration|iters?|global_step|learning_rate|lr|beta[12]_power|"
    r"loss_scale|current_iterator_step|last_overflow_iterator_step|update_after_step)",
    r"(.*\.)?(collected_params|optimizers?|optimizer_states?|opt|optim|opt_state|lr_sched\w*|lr_schedulers?|"
    r"grad_scaler|scaler|callbacks|loops|sampler_state)(\..*)?",
    r"(.*\.)?(\w*rng\w*|random_states?|generator_state)(\..*)?",
    r"(.*\.)?(shadow_params|ema_params|averaged_params)\.\d+|(.*\.)?model_ema\.[^.]+",
)


def role(prefix: str) -> str:
    """Which copy stands behind `prefix`: "model", "ema" or "optimizer"."""
    for part in reversed([part for part in prefix.split(".") if part]):
        words = _words(part)
        if _MOMENT.fullmatch(part):
            return MOMENT
        if words & _ONLINE:
            return PLAIN
        if words & WORDS or _says_ema(part.lower()):
            return AVERAGED
    return PLAIN


def choose(matches: Sequence[Match], which: str | None, where: str) -> Match:
    """The one of several copies of a network that is wanted.

    Args:
        which: "ema", "model", or the beginning of its names; None takes the averages where there
            are some.

    Raises:
        InputFileError: there is none of that name, or several and nothing says which.
    """
    named = {match.prefix.rstrip("."): match for match in matches}
    if which not in (None, AVERAGED, PLAIN):
        if which.rstrip(".") in named:
            return named[which.rstrip(".")]
        raise InputFileError(_none(matches, which, where))
    weights = [match for match in matches if match not in moments(matches)]
    if not weights:
        raise InputFileError(f"{where}: holds the state of an optimizer, not weights")
    averaged = [match for match in weights if role(match.prefix) == AVERAGED]
    plain = [match for match in weights if match not in averaged]
    wanted = {None: averaged or plain, AVERAGED: averaged, PLAIN: plain}[which]
    if not wanted:
        raise InputFileError(_none(weights, which, where))
    return _only(wanted, where)


def moments(matches: Sequence[Match]) -> list[Match]:
    """Those that are an optimizer's moments, shaped and named like the weights."""
    last = {match.prefix: match.prefix.rstrip(".").split(".")[-1] for match in matches}
    first = {match.prefix: match.prefix.split(".")[0] for match in matches}
    pair = set(last.values()) >= _PAIRED or set(first.values()) >= _PAIRED
    return [
        match
        for match in matches
        if role(match.prefix) == MOMENT
        or (pair and {last[match.prefix], first[match.prefix]} & _PAIRED)
    ]


def is_company(name: str) -> bool:
    """True for counters and a trainer's own things beside weights."""
    return any(re.fullmatch(pattern, name) for pattern in COMPANY)


def _only(matches: Sequence[Match], where: str) -> Match:
    """The copy nearest to the top; an online copy inside an average's own table comes last."""

    def depth(match: Match) -> tuple[bool, int]:
        parts = [part for part in match.prefix.split(".") if part]
        nested = any(_words(part) & WORDS for part in parts) and role(match.prefix) == PLAIN
        return nested, len(parts)

    best = min(map(depth, matches))
    first = [match for match in matches if depth(match) == best]
    if len(first) > 1:
        raise InputFileError(
            f"{where}: holds {len(first)} copies of {matches[0].format.title}, {_listed(first)}; "
            f"--which {first[0].prefix.rstrip('.') or 'model'} takes the first"
        )
    return first[0]


def _none(matches: Iterable[Match], which: str | None, where: str) -> str:
    return f"{where}: has no copy of the weights called {which!r}; there are {_listed(matches)}"


def _listed(matches: Iterable[Match]) -> str:
    return ", ".join(repr(match.prefix) for match in matches)


def _words(part: str) -> set[str]:
    """`netG_ema`, `modelEMA`, `EmaModel` in lower-case words."""
    return {word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", part)}


def _says_ema(part: str) -> bool:
    return (part.startswith("ema") or part.endswith("ema")) and not part.endswith(_NOT_EMA)
