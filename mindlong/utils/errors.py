"""Errors meant for the user: one sentence, an exit code, the nearest valid name."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """A mistake the user can mend. The message is one plain sentence; commands print it and exit
    with `exit_code`.
    """

    exit_code = 1


class ConfigError(UserError):
    """Bad arguments or an impossible configuration (exit code 2)."""

    exit_code = 2


class InputFileError(UserError):
    """A file that is missing, unreadable or not what it claims to be (exit code 3)."""

    exit_code = 3


def nearest(name: str, valid: Iterable[str], count: int = 1) -> list[str]:
    """The valid names most like `name`, best first, whatever their case; empty if none is close."""
    names = list(valid)
    folded: dict[str, str] = {}
    for known in names:
        folded.setdefault(known.lower(), known)
    exact = difflib.get_close_matches(name, names, n=count, cutoff=0.5)
    close = difflib.get_close_matches(name.lower(), list(folded), n=count, cutoff=0.5)
    if name.lower() in folded:
        return [folded[found] for found in close]
    return exact or [folded[found] for found in close]


def did_you_mean(name: str, valid: Iterable[str]) -> str:
    """` Did you mean 'x'?`, or the list of valid names where none is close."""
    names = [str(v) for v in valid]
    close = nearest(name, names)
    return f" Did you mean {close[0]!r}?" if close else f" Valid names: {', '.join(names)}."
