"""Processes that watch: a rank, its job's scheduler and the other machines.

They are forked before MindSpore is imported; a thread could not watch, because MindSpore keeps the
interpreter's lock while it waits for other ranks. Each ends with its parent, or soon after.
"""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import signal
import sys
import time
from collections.abc import Callable

from mindlong.parallel import proc
from mindlong.parallel.lifeline import Lifeline
from mindlong.parallel.scheduler import SESSION_VARIABLE

HELD = 20.0  # seconds for which the scheduler may be stopped
GRACE = 5.0  # seconds in which a rank may end by itself of what ended the others
LAST_STEP = 8.0  # seconds to save and stop in, once the job cannot go on
GO_ON = (
    "and the processes of the job cannot go on without it; what is saved stays, and the same command "
    "goes on from there"
)
SCHEDULER_GONE = f"error: MindSpore's scheduler has ended, {GO_ON}\n"
SCHEDULER_HELD = f"error: MindSpore's scheduler has been stopped for long, {GO_ON}\n"
MACHINE_GONE = f"error: the connection to {{}} has ended, {GO_ON}\n"
DAEMONS = ("orted", "prted")  # what mpirun starts on other machines
VIEWER, LOOKS = "tail", 20
WELL, BADLY = b"0", b"1"

_code: int | None = None  # of the command, once it is through
_leaving: int | None = None  # this rank tells its watcher here that it is about to sign off


def watch_ranks(scheduler: int, msrun: int, patience: float = 8.0) -> None:
    """Fork a watcher that ends msrun's scheduler once all ranks of its machine are gone.

    The scheduler would wait half a minute for the heartbeat of a rank that was killed, and msrun
    for the scheduler.
    """
    if os.fork():
        return
    proc.die_with_parent()
    alone_since = time.monotonic()
    while time.monotonic() - alone_since < patience and os.getppid() == scheduler:
        time.sleep(1.0)
        if proc.children(msrun) - {scheduler}:
            alone_since = time.monotonic()
    if os.getppid() == scheduler:
        os.kill(scheduler, signal.SIGKILL)
    os._exit(0)


def watch_job(scheduler: int | None, lifeline: Lifeline | None) -> None:
    """Fork a watcher that ends this rank, and with it the job, once the scheduler or another
    machine is gone before its time: without it the ranks would go on for half a minute and crash,
    or wait for an hour.

    A training is asked to save and stop first.

    Args:
        scheduler: its process, where it runs on this machine.
        lifeline: to the other machines, where there are any.
    """
    global _leaving
    if scheduler is None and lifeline is None:
        return
    rank, launcher, (told, _leaving) = os.getpid(), os.getppid(), os.pipe()
    if os.fork():
        os.close(told)
        return
    os.close(_leaving)
    for number in proc.REQUESTS:
        signal.signal(number, signal.SIG_IGN)
    line, viewers, held_since = lifeline or Lifeline(), Viewers(launcher), [time.monotonic()]
    while os.getppid() == rank and not _is_told(told):
        viewers.look()
        gone = line.broken(0.5)
        if os.getppid() != rank:  # and what went with it is no news
            break
        if gone and not _is_told(told, GRACE):
            _end(rank, told, MACHINE_GONE.format(gone), launcher)
            break
        why = _scheduler_fault(scheduler, held_since) if scheduler is not None else ""
        if why:
            _end(rank, told, why)
            break
    line.leave(well=os.getppid() == rank and os.read(told, 1) == WELL)
    viewers.end()
    os._exit(0)


def _scheduler_fault(scheduler: int, held_since: list[float]) -> str:
    """Why the job cannot go on with its scheduler; '' where it can. MindSpore's processes give one
    that is stopped up after half a minute, and may crash. `held_since`: one time, kept up to date.
    """
    if proc.ended(scheduler):
        return SCHEDULER_GONE
    if not proc.held(scheduler):
        held_since[0] = time.monotonic()
    return SCHEDULER_HELD if time.monotonic() - held_since[0] > HELD else ""


class Viewers:
    """The `tail -f` by which msrun shows a log; killed itself, msrun leaves them behind.

    Args:
        msrun: the process that may be one.
    """

    def __init__(self, msrun: int) -> None:
        self.msrun, self.found, self.looks = msrun, set(), LOOKS

    def look(self) -> None:
        """Note those there are; they are started soon after the ranks."""
        if self.looks and not self.found:
            self.looks -= 1
            self.found = {pid for pid in proc.children(self.msrun) if proc.name_of(pid) == VIEWER}

    def end(self) -> None:
        """End those that msrun has left; it ends them itself where it can."""
        until = time.monotonic() + GRACE
        while self.found and time.monotonic() < until and not proc.ended(self.msrun):
            time.sleep(0.2)
        for pid in self.found if proc.ended(self.msrun) else ():
            if proc.name_of(pid) == VIEWER:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)


def done(code: int) -> None:
    """The command of this process is through, with this exit code; nothing follows it."""
    global _code
    _code = code


def leave(end_with: Callable[[int], None]) -> None:
    """This rank is about to sign off: from now on everybody else may end. Called at the end of the
    process; where an exception ended it that is not said to the other machines.

    Args:
        end_with: is told the exit code, where there is one.
    """
    failed = getattr(sys, "last_value", None) is not None
    _tell(BADLY if failed else WELL)
    if _code is not None and not failed:
        end_with(_code)


def fail() -> None:
    """This rank ends for a reason that the others may not know: it ends the job."""
    _tell(BADLY)


def _tell(word: bytes) -> None:
    if _leaving is not None:
        with contextlib.suppress(OSError):
            os.write(_leaving, word)


def scheduler_of_msrun() -> int | None:
    """The scheduler that msrun, this process's parent, started on this machine; None where it
    started none.
    """
    for pid in proc.children(os.getppid()):
        if proc.has_environment(pid, "MS_ROLE=MS_SCHED"):
            return pid
    return None


def _is_told(told: int, patience: float = 0.0) -> bool:
    return bool(select.select([told], [], [], patience)[0])


def _end(rank: int, told: int, sentence: str, launcher: int = 0) -> None:
    os.write(2, sentence.encode())
    with contextlib.suppress(ProcessLookupError):
        os.kill(rank, signal.SIGUSR1)
        _is_told(told, LAST_STEP)  # until it leaves, which it cannot without
        if launcher and proc.name_of(launcher) in DAEMONS:
            _end_daemon(launcher)
        if os.getppid() == rank:
            os.kill(rank, signal.SIGKILL)
            _wait_for(rank)


def _wait_for(rank: int) -> None:
    """Until a rank is gone, so that nobody takes what it leaves behind for its last word."""
    until = time.monotonic() + GRACE
    while time.monotonic() < until and not proc.ended(rank):
        time.sleep(0.1)


def _end_daemon(daemon: int) -> None:
    """End mpirun's daemon on this machine, which would wait for a quarter of an hour for an answer
    to what it sent last. Its ranks go with it.
    """
    session = os.environ.get(SESSION_VARIABLE, "")  # its own, of this job
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.kill(daemon, number)
        end = time.monotonic() + 3.0
        while time.monotonic() < end and not proc.ended(daemon):
            time.sleep(0.1)
    if session and proc.ended(daemon):
        shutil.rmtree(session, ignore_errors=True)
