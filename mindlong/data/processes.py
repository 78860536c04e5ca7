"""One process that makes samples, seen from its parent: questions go out, answers come back, and it
is known at any time which file it is reading.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from mindlong.data.source import Numbered
from mindlong.data.worker import receive, send
from mindlong.utils.needed import needed

Report = Callable[[dict[str, str], dict[str, list[str]]], None]


class Lost(Exception):
    """The process is gone. `at`: the file that it was reading, "" for none; `how` it ended."""

    def __init__(self, at: str, how: str) -> None:
        super().__init__(how)
        self.at, self.how = at, how


class WorkerProcess:
    """One child process and the thread that takes its answers.

    Args:
        source: what makes the samples; sent to the process, so it must be picklable.
        report: called with the bad files and the notes that an answer brings.
    """

    def __init__(self, source: Numbered[object], report: Report) -> None:
        path = os.pathsep.join(
            [str(Path(__file__).parents[2]), *filter(None, sys.path)]
        )  # the source's module too
        self.process = subprocess.Popen(
            [sys.executable, "-m", "mindlong.data.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=os.environ | {"PYTHONPATH": path},
        )
        self._stdin = needed(self.process.stdin, "the pipe to the process")
        self._stdout = needed(self.process.stdout, "the pipe from the process")
        self.waiting: deque[Future[Any]] = deque()  # answers come in the order of the questions
        self.at, self.lost, self.overdue = "", False, 0.0
        self._heard = time.monotonic()
        self._lock, self._report = threading.Lock(), report
        self._ask(source)
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def submit(self, index: int) -> Future[Any]:
        """Ask for a sample; the future fails with Lost if the process dies."""
        future: Future[Any] = Future()
        with self._lock:
            if self.lost:
                future.set_exception(self._obituary())
            else:
                if not self.waiting:
                    self._heard = time.monotonic()
                self.waiting.append(future)
                self._ask(index)
        return future

    def silent_for(self) -> float:
        """Seconds since it gave a sign of life while it had something to do."""
        return time.monotonic() - self._heard if self.waiting else 0.0

    def give_up(self) -> None:
        """End a process that hangs."""
        self.overdue = self.silent_for()
        self.process.kill()

    def close(self) -> None:
        """End the process and wait for it."""
        with contextlib.suppress(BrokenPipeError):
            self._stdin.close()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self._thread.join()
        self._stdout.close()

    def _ask(self, thing: object) -> None:
        with contextlib.suppress(BrokenPipeError):  # the end of its answers tells the listener
            send(self._stdin, thing)

    def _listen(self) -> None:
        try:
            while True:
                message = receive(self._stdout)
                self._heard = time.monotonic()
                if isinstance(message, str):  # the file it has begun with, or goes on with
                    self.at = message
                    continue
                sample, error, bad, notes = message
                self.at = ""
                self._report(bad, notes)
                future = self.waiting.popleft()
                future.set_exception(error) if error else future.set_result(sample)
        except EOFError:
            self.process.wait()
            with self._lock:
                self.lost = True
            for future in self.waiting:
                future.set_exception(self._obituary())

    def _obituary(self) -> Lost:
        code = self.process.poll()
        if self.overdue:
            return Lost(self.at, f"gave no sign of life for {self.overdue:.0f} s")
        if code is not None and code < 0:
            return Lost(self.at, f"crashed (signal {-code})")
        return Lost(self.at, f"ended with code {code}")
