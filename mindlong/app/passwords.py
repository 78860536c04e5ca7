"""Who may come in, where the page is to be reached from other machines."""

from __future__ import annotations

import getpass
import hmac
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from mindlong.utils.errors import ConfigError, InputFileError
from mindlong.utils.shown import shown

VARIABLE = "MINDLONG_APP_PASSWORD"
LEAST = 8  # letters
LOOPBACK = ("127.0.0.1", "localhost", "::1")
TRIES, PAUSE = 10, 60.0  # wrong passwords of a name, and the seconds it then has to wait


def needed(host: str, users: Sequence[str]) -> None:
    """Raise ConfigError where a page that other machines reach has no user."""
    if host not in LOOPBACK and not users:
        raise ConfigError(
            f"--host {shown(host)} lets other machines reach the page, so it needs --user NAME and a password (from a "
            f"prompt, --password_file or {VARIABLE}); without --host it starts on 127.0.0.1"
        )


def passwords(users: Sequence[str], file: str) -> dict[str, str]:
    """The password of each user: from a file, the environment, or a prompt.

    Raises:
        ConfigError: a user without one, a short one, or a name twice. InputFileError: no such file.
    """
    for name in users:
        if not name.strip() or ":" in name or not name.isprintable() or users.count(name) > 1:
            raise ConfigError(f"--user {shown(name)!r}: a name is given once and has no colon")
    found = _of_file(users, file) if file else _of_environment(users) or _asked(users)
    for name in users:
        if len(found.get(name, "")) < LEAST:
            raise ConfigError(
                f"the password of {shown(name)} has less than {LEAST} letters; give a longer one"
                if name in found
                else f"{shown(name)} has no password in {shown(file)}; a line is written NAME:PASSWORD"
            )
    return found


def _of_file(users: Sequence[str], file: str) -> dict[str, str]:
    try:
        lines = Path(file).read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", "") or "it is no text"
        raise InputFileError(f"--password_file {shown(file)} cannot be read: {why}") from None
    lines = [line for line in lines if line.strip()]
    if len(users) == 1 and len(lines) == 1 and not lines[0].startswith(f"{users[0]}:"):
        return {users[0]: lines[0]}
    return {line.partition(":")[0]: line.partition(":")[2] for line in lines if ":" in line}


def _of_environment(users: Sequence[str]) -> dict[str, str]:
    held = os.environ.get(VARIABLE, "")
    return {users[0]: held} if held and len(users) == 1 else {}


def _asked(users: Sequence[str]) -> dict[str, str]:
    if not sys.stdin.isatty():
        raise ConfigError(
            f"--user needs a password: give --password_file FILE or {VARIABLE}, or start at a terminal, which asks"
            + (f"; {VARIABLE} is for one user" if len(users) > 1 else "")
        )
    return {name: getpass.getpass(f"Password of {name}: ") for name in users}


class Gate:
    """Whether a name and a password go together; names that are tried too often have to wait.

    Args:
        known: name -> password. clock: seconds.
    """

    def __init__(
        self, known: Mapping[str, str], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._known, self.clock = dict(known), clock
        self._wrong: dict[str, list[float]] = {name: [] for name in known}

    def __call__(self, name: str, password: str) -> bool:
        """As Gradio asks."""
        right = self._known.get(name, "")
        tries = self._wrong.setdefault(name if name in self._known else "", [])
        tries[:] = [when for when in tries if self.clock() - when < PAUSE]
        same = hmac.compare_digest(right.encode(), str(password).encode("utf-8", "replace"))
        if len(tries) >= TRIES or not (same and right):
            tries.append(self.clock())
            del tries[:-TRIES]
            return False
        tries.clear()
        return True
