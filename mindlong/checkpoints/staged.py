"""Results written aside and put in place when all are whole; nothing stays of a failure."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

from mindlong.utils import interrupts, system
from mindlong.utils.atomic import sync_folder
from mindlong.utils.errors import UserError
from mindlong.utils.interrupts import Interrupted
from mindlong.utils.shown import shown

SUFFIX = ".tmp"
_ENDING = (signal.SIGTERM, signal.SIGHUP)


@contextlib.contextmanager
def staged(target: Path, needed: int = 0) -> Iterator[Path]:
    """Yield an empty folder beside `target`; what is written into it takes its place behind it.

    Whatever ends the block early, an error, Ctrl-C or a request to terminate, removes the folder
    and every folder that was made for it.

    Args:
        target: a file, whose companions lie beside it, or a folder. In the yielded folder each has
            the name that it will have beside `target`.
        needed: bytes that will be written, for the sentence on a full disk.

    Raises:
        UserError: the system refuses to write; one sentence with the reason.
    """
    made: list[Path] = []
    place = target.parent / f".{target.name}.{os.getpid()}{SUFFIX}"
    stay = interrupts.at_leaving(lambda: _remove(place, made))
    try:
        with _ending_as_interrupt():
            made += _make(place)
            _remove_left(target)
            yield place
            _publish(place, target.parent)
    except OSError as error:
        raise UserError(_why(error, target, needed)) from None
    finally:
        stay()
        _remove(place, made)


def named(path: Path) -> Path:
    """The same place by a path that ends in its name, which `.` and `..` do not: what is written
    aside has that name.
    """
    return path.resolve() if path.name in ("", "..") else path


def _remove(place: Path, made: list[Path]) -> None:
    """Remove what was written aside, and the folders that were made for it where they are empty."""
    shutil.rmtree(place, ignore_errors=True)
    for folder in reversed(made):
        with contextlib.suppress(OSError):  # it holds the result
            folder.rmdir()


def _make(place: Path) -> list[Path]:
    """Make a folder and those above it; returns the ones above it that were not there."""
    missing = [folder for folder in place.parents if not folder.exists()]
    place.mkdir(parents=True)
    return missing[::-1]


def _remove_left(target: Path) -> None:
    """Remove what a process that was killed left of an earlier try."""
    for path in target.parent.glob(f".{_literal(target.name)}.*{SUFFIX}"):
        number = path.name[len(target.name) + 2 : -len(SUFFIX)]
        if number.isdecimal() and int(number) != os.getpid() and not _is_alive(int(number)):
            shutil.rmtree(path, ignore_errors=True)


def _literal(name: str) -> str:
    return "".join(f"[{c}]" if c in "[*?" else c for c in name)


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True


def _publish(place: Path, folder: Path) -> None:
    """Move everything out of `place` into `folder`, file by file where a folder is there."""
    for path in sorted(place.iterdir()):
        target = folder / path.name
        if path.is_dir() and target.is_dir():
            _publish(path, target)
        else:
            os.replace(path, target)
    sync_folder(folder)


def _why(error: OSError, target: Path, needed: int) -> str:
    named, reason = shown(target), os.strerror(error.errno) if error.errno else str(error)
    if error.errno not in system.FULL:
        return f"{named} could not be written ({reason}); nothing of it was kept"
    folder = next((p for p in target.absolute().parents if p.exists()), Path("/"))
    free = shutil.disk_usage(folder).free
    need = f"{named} needs {needed / 2**20:.1f} MiB, " if needed else ""
    return f"the disk is full: {need}{free / 2**20:.1f} MiB are free; nothing of it was kept"


@contextlib.contextmanager
def _ending_as_interrupt() -> Iterator[None]:
    """A request to terminate ends the block as Ctrl-C does, where nobody hears it yet; outside the
    main thread nothing is changed.
    """

    def interrupt(number: int, frame: object) -> None:
        raise Interrupted(number)

    before = {}
    if threading.current_thread() is threading.main_thread():
        unheard = [n for n in _ENDING if signal.getsignal(n) is signal.SIG_DFL]
        before = {number: signal.signal(number, interrupt) for number in unheard}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
