"""Samples made ahead of time by background processes, in the order they will be asked for.

A `Loader` is a `data.source.Source` around another one: `sample(index)` gives what the inner source
gives, sooner. Told what will be asked (`expect`), it keeps at most `ahead` samples on their way.
The order of answers never depends on the processes.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future
from pathlib import Path

from mindlong.data.source import Sample, Source
from mindlong.data.worker import receive, send
from mindlong.utils.errors import ConfigError
from mindlong.utils.log import get_logger


class _Lost(Exception):
    """The process is gone."""


class _Worker:
    """One child process and the thread that takes its answers."""

    def __init__(self, source: Source, report) -> None:
        path = os.pathsep.join(
            [str(Path(__file__).parents[2]), *filter(None, sys.path)]
        )  # the source's module too
        self.process = subprocess.Popen(
            [sys.executable, "-m", "mindlong.data.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=os.environ | {"PYTHONPATH": path},
        )
        self.waiting: deque[Future] = deque()  # answers come in the order of the questions
        self._lock, self._report, self.lost = threading.Lock(), report, False
        self._ask(source)
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def submit(self, index: int) -> Future:
        """Ask for a sample; the future fails with _Lost if the process dies."""
        future: Future = Future()
        with self._lock:
            if self.lost:
                future.set_exception(_Lost())
            else:
                self.waiting.append(future)
                self._ask(index)
        return future

    def close(self) -> None:
        """End the process and wait for it."""
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self._thread.join()
        self.process.stdout.close()

    def _ask(self, thing: object) -> None:
        with contextlib.suppress(BrokenPipeError):  # the end of its answers tells the listener
            send(self.process.stdin, thing)

    def _listen(self) -> None:
        try:
            while True:
                sample, error, bad = receive(self.process.stdout)
                self._report(bad)
                future = self.waiting.popleft()
                future.set_exception(error) if error else future.set_result(sample)
        except EOFError:
            with self._lock:
                self.lost = True
            for future in self.waiting:
                future.set_exception(_Lost())


class Loader:
    """`with Loader(source, workers=2) as loader: loader.expect(numbers); loader.sample(n)`.

    Args:
        source: what the samples come from; it is sent to the processes, so it must be picklable.
        workers: processes; 0 makes every sample in the caller.
        ahead: samples on their way or waiting, the bound of the memory.

    Attributes:
        waited: seconds the caller has waited for samples so far.
        served: samples given so far.
    """

    def __init__(self, source: Source, workers: int = 2, ahead: int = 32) -> None:
        if workers < 0 or ahead < 1:
            raise ConfigError(
                f"a loader of {workers} processes with {ahead} samples ahead cannot be made"
            )
        self.source, self.ahead = source, ahead
        self.waited, self.served = 0.0, 0
        self._bad: deque[dict[str, str]] = deque()
        self._workers = [_Worker(source, self._bad.append) for _ in range(workers)]
        self._order: Iterator[int] = iter(())
        self._coming: deque[tuple[int, Future]] = deque()

    def __enter__(self) -> Loader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def expect(self, numbers: Iterable[int]) -> None:
        """Say which samples will be asked for, in order; an endless iterator is fine. Earlier
        expectations are dropped.
        """
        self._coming.clear()
        self._order = iter(numbers)
        self._fill()

    def sample(self, index: int) -> Sample:
        """The source's sample `index`; quick if it was expected next, made here and now
        otherwise.
        """
        start = time.monotonic()
        expected = bool(self._coming) and self._coming[0][0] == index
        sample = self._take() if expected else self.source.sample(index)
        self._report()
        self.waited += time.monotonic() - start
        self.served += 1
        return sample

    def describe(self) -> str:
        """One line for the opening of a run."""
        return f"{self.source.describe()}; {len(self._workers)} background processes"

    def close(self) -> None:
        """End the processes."""
        self._coming.clear()
        self._order = iter(())
        workers, self._workers = self._workers, []
        for worker in workers:
            worker.close()

    def _take(self) -> Sample:
        index, future = self._coming.popleft()
        try:
            return future.result()
        except _Lost:
            get_logger().warning(
                "a process that reads clips has ended; its share is read in the main process"
            )
            self._workers = [w for w in self._workers if not w.lost]
            return self.source.sample(index)
        finally:
            self._fill()

    def _fill(self) -> None:
        while self._workers and len(self._coming) < self.ahead:
            index = next(self._order, None)
            if index is None:
                return
            home = getattr(self.source, "home", int)(
                index
            )  # a file stays with the process that has decoded it
            self._coming.append((index, self._workers[home % len(self._workers)].submit(index)))

    def _report(self) -> None:
        """Tell the source of bad files found elsewhere: it names each once, and counts."""
        while self._bad:
            for path, reason in self._bad.popleft().items():
                self.source.report_bad(path, reason)
