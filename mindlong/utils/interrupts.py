"""Ctrl-C and SIGTERM: said by their names, heard everywhere, and clean.

While MindSpore compiles or runs a graph, it turns SIGINT into a SIGTERM to its own process, so that
Ctrl-C would end it at once and uncleaned, or be taken for a SIGTERM. `shield` therefore blocks
SIGINT and lets a thread of its own wait for it, which knows what came and passes it on. Call it
before anything starts threads (numpy does). Without it everything works but the name.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

ASKING = tuple(  # signals that ask a program to end
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
)
PATIENCE = 10  # seconds that a library gets before the process is left at once


class Interrupted(KeyboardInterrupt):
    """A signal asked to stop. `exit_code` is 128 and its number, as shells have it."""

    def __init__(self, number: int) -> None:
        super().__init__(name_of(number))
        self.number, self.exit_code = number, 128 + number


class _State:
    shielded = False
    came = 0  # the number of the last signal
    chased = 0  # the number of a signal whose exception is on its way through MindSpore
    from_keyboard = False  # SIGINT came, and the SIGTERM that passes it on is still under way
    peace = 0  # how many have asked for `left_in_peace`
    lent = False  # inside `heard`: the process is somebody else's
    hushed: int | None = None  # a copy of standard error while nothing may be written to it


_state = _State()
_leaving: dict[int, Callable[[], None]] = {}


def name_of(number: int) -> str:
    """How a person calls a signal: Ctrl-C, SIGTERM, ..."""
    return "Ctrl-C" if number == signal.SIGINT else signal.Signals(number).name


def came() -> int:
    """The number of the signal that asked to stop last; 0: none."""
    return _state.came


def shield() -> None:
    """Take the signals that ask to stop, for the whole process. Once; only in the main thread."""
    if _state.shielded or threading.current_thread() is not threading.main_thread():
        return
    _state.shielded = True
    background = signal.getsignal(signal.SIGINT) is signal.SIG_IGN  # `command &` of a script
    for number in ASKING:
        if signal.getsignal(number) is not signal.SIG_IGN:  # nohup
            signal.signal(number, _heard)
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    threading.Thread(target=_wait_for_keyboard, args=(background,), daemon=True).start()


@contextlib.contextmanager
def heard() -> Iterator[None]:
    """Inside, Ctrl-C gets through MindSpore as an exception, for programs that are no commands of
    ours: their handlers are put back behind it, and the process is never left.

    Only in the main thread, where Python runs handlers; elsewhere, and under `shield`, nothing
    changes. A SIGTERM is an exception too inside: it cannot be told from the one that MindSpore
    makes of a Ctrl-C.
    """
    main = threading.current_thread() is threading.main_thread()
    if _state.shielded or _state.lent or not main:
        yield
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    _state.lent = True
    try:
        for number in before:
            signal.signal(number, _heard)
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler or signal.SIG_DFL)
        unhush()
        forget()
        _state.lent = False


@contextlib.contextmanager
def left_in_peace() -> Iterator[None]:
    """Inside, a signal is somebody else's to handle: the process is not left because the main
    thread does not answer.
    """
    _state.peace += 1
    try:
        yield
    finally:
        _state.peace -= 1


def stop(number: int, frame: FrameType | None) -> None:
    """Raise Interrupted for a signal that came in `frame`, so that it gets through and is quiet."""
    number = _state.chased or number
    _state.came = number
    outer = _outside_mindspore(frame)
    if outer is not None and not _state.chased:
        _hush()
        _chase(outer, number)
    elif outer is None and _state.chased:  # it has left MindSpore just now
        return
    raise Interrupted(number)


def check() -> None:
    """Raise Interrupted if a signal came and its exception was dropped on the way, as libraries do
    in callbacks. Called where a command begins something long.
    """
    if _state.shielded and _state.came:
        raise Interrupted(_state.came)


def forget() -> None:
    """A new command begins."""
    _state.came = 0


def origin(number: int) -> int:
    """What really came: SIGINT where `number` is the SIGTERM that it was turned into."""
    if _state.lent:
        return signal.SIGINT
    if number == signal.SIGTERM and _state.from_keyboard:
        _state.from_keyboard = False
        return signal.SIGINT
    return number


def at_leaving(work: Callable[[], None]) -> Callable[[], None]:
    """Have `work` done where the process is left without unwinding; returns how to take it back."""
    key = id(work)
    _leaving[key] = work

    def take_back() -> None:
        _leaving.pop(key, None)

    return take_back


def unhush() -> None:
    """Standard error as it was."""
    if _state.hushed is not None:
        os.dup2(_state.hushed, 2)
        os.close(_state.hushed)
        _state.hushed = None


def _heard(number: int, frame: FrameType | None) -> None:
    stop(origin(number), frame)


def _outside_mindspore(frame: FrameType | None) -> FrameType | None:
    """The frame that called MindSpore, where `frame` is somewhere inside it."""
    outer, inside = None, False
    while frame is not None:
        mindspore = frame.f_globals.get("__name__", "").split(".")[0] == "mindspore"
        if inside and not mindspore:
            outer = frame
        inside, frame = mindspore, frame.f_back
    return outer


def _hush() -> None:
    """Let nothing be written to standard error: an exception that passes through MindSpore's
    compiler makes it print pages.
    """
    if _state.hushed is None:
        with contextlib.suppress(OSError):
            _state.hushed = os.dup(2)
            devnull = os.open(os.devnull, os.O_WRONLY)
            os.dup2(devnull, 2)
            os.close(devnull)


def _chase(outer: FrameType, number: int) -> None:
    """MindSpore drops an exception here and there. It is raised again every second while MindSpore
    is at work, and in `outer` when that is reached without it; where nothing helps, the process is
    left.
    """
    reached = threading.Event()
    _state.chased = number

    def trace(frame: FrameType, event: str, value: Any) -> None:
        reached.set()
        unhush()
        _state.chased = 0
        sys.settrace(None)
        outer.f_trace = None
        if not (event == "exception" and issubclass(value[0], Interrupted)):
            raise Interrupted(number)

    def nudge() -> None:
        for _ in range(PATIENCE):
            if reached.wait(1.0):
                return
            signal.pthread_kill(_main(), signal.SIGTERM)
        if not _state.lent:
            _leave(number)

    threading.Thread(target=nudge, daemon=True).start()
    sys.settrace(lambda *_: None)
    outer.f_trace = trace


def _wait_for_keyboard(background: bool) -> None:
    """Pass SIGINT on; in the background only what was sent to this very process (`kill -INT`), not
    the terminal's Ctrl-C.
    """
    while True:
        found = signal.sigwaitinfo([signal.SIGINT])
        if background and found.si_code > 0:  # SI_KERNEL
            continue
        _state.from_keyboard = True
        signal.pthread_kill(_main(), signal.SIGTERM)
        timer = threading.Timer(PATIENCE, _leave_if_unheard)
        timer.daemon = True
        timer.start()


def _main() -> int:
    """The main thread: a signal to the process could wake another one."""
    return threading.main_thread().ident or 0


def _leave_if_unheard() -> None:
    if _state.from_keyboard and not _state.peace:
        _leave(signal.SIGINT)


def _leave(number: int) -> None:
    """The main thread is deep inside a library and does not come back: clean up here, and go."""
    unhush()
    for work in list(_leaving.values()):
        with contextlib.suppress(Exception):
            work()
    print(f"\nstopped by {name_of(number)}", file=sys.stderr, flush=True)
    os._exit(128 + number)
