"""From what can end a command to one sentence and an exit code."""

from __future__ import annotations

import contextlib
import importlib
import os
import signal
import sys
import traceback
from collections.abc import Callable, Sequence

from mindlong.cli.commands import as_started
from mindlong.parallel import watch
from mindlong.utils import interrupts, streams, system
from mindlong.utils.dumps import dumps_elsewhere
from mindlong.utils.errors import UserError
from mindlong.utils.shown import shown

Main = Callable[[Sequence[str] | None], int]
NEWLINE = "\n"  # sentences with a table below have some
FAULT = "error: this is a fault of mindlong, not of your input; the lines above say where"


def start(name: str, argv: Sequence[str] | None = None) -> int:
    """Run the command `mindlong.cli.NAME` in a process of its own: signals are heard, and what goes
    wrong while its code is loaded is a sentence too.
    """
    interrupts.shield()
    streams.make_lasting()
    return guarded(lambda given: importlib.import_module(f"mindlong.cli.{name}").main(given), argv)


def guarded(main: Main, argv: Sequence[str] | None = None) -> int:
    """Run `main`; turn a user's mistake, a refusal of the system or a signal into one line on
    standard error and its exit code.
    """
    os.environ.setdefault("GLOG_v", "3")  # MindSpore's own log: errors only, unless asked for more
    interrupts.forget()
    with dumps_elsewhere():
        try:
            code = _flushed(main, argv)
        except (Exception, KeyboardInterrupt) as error:
            watch.fail()
            interrupts.unhush()
            code, text = _explained(error)
            _say(as_started(text))
    watch.done(code)
    return code


def _flushed(main: Main, argv: Sequence[str] | None) -> int:
    """What `main` returns, once all it printed is out."""
    try:
        return main(argv)
    finally:
        if not isinstance(sys.exc_info()[1], BrokenPipeError):
            sys.stdout.flush()


def _explained(error: BaseException) -> tuple[int, str]:
    """The exit code and the line of what ended a command; '' where there is nothing to say."""
    number = interrupts.came()
    if isinstance(error, KeyboardInterrupt) or number:
        number = getattr(error, "number", number) or signal.SIGINT
        return 128 + number, f"stopped by {interrupts.name_of(number)}"
    if isinstance(error, UserError):
        return error.exit_code, f"error: {shown(error, keep=NEWLINE)}"
    if isinstance(error, BrokenPipeError) and streams.is_broken(sys.stdout):
        streams.give_up(sys.stdout)
        return 128 + signal.SIGPIPE, ""
    stranger = system.of_stranger(error)
    if stranger:
        return 1, f"error: {stranger}"
    if isinstance(error, OSError):
        return 1, f"error: {system.sentence(error)}"
    traceback.print_exception(error)
    return 1, FAULT


def _say(text: str) -> None:
    with contextlib.suppress(OSError):
        if text:
            print(text, file=sys.stderr, flush=True)
