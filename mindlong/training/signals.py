"""SIGTERM, Ctrl-C and their like as a request to stop after the running step."""

from __future__ import annotations

import contextlib
import signal
import threading
from types import FrameType, TracebackType
from typing import Any

from mindlong.utils import interrupts
from mindlong.utils.log import get_logger

# SIGUSR1, SIGUSR2: mpirun hands these on to its ranks, where SIGTERM would end them
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
STANDS_FOR = {signal.SIGUSR2: signal.SIGINT}  # scripts/run_train_distributed.sh passes Ctrl-C on so


class StopRequest:
    """`with StopRequest() as stop:` - once a signal came, `stop.name` and `stop.number` are its. A
    second Ctrl-C interrupts.

    Outside the main thread, where Python allows no handlers, it never asks to stop.
    """

    def __init__(self) -> None:
        self.name, self.number = "", 0
        self._before: dict[int, Any] = {}
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> StopRequest:
        interrupts.check()
        if threading.current_thread() is threading.main_thread():
            self._stack.enter_context(interrupts.left_in_peace())
            for number in SIGNALS:
                if number != signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:
                    self._before[number] = signal.signal(number, self._note)  # else nohup
        return self

    def __exit__(
        self, kind: type | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        number = interrupts.origin(number)
        number = STANDS_FOR.get(number, number)
        if self.name and number == signal.SIGINT:
            interrupts.stop(number, frame)
        self.name, self.number = signal.Signals(number).name, number
        get_logger().warning(
            "%s received: finishing this step, then saving and stopping",
            interrupts.name_of(number),
        )
