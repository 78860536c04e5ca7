"""Progress bars, lines in their place where output is no terminal, and a heartbeat for the silent
minutes of a graph compilation.
"""

from __future__ import annotations

import contextlib
import math
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

from tqdm import tqdm

from mindlong.utils import interrupts, progress_file
from mindlong.utils.log import get_logger

STEPS, BYTES = "{desc}: {unit} {n_fmt}/{total_fmt}", "{desc}: {n_fmt}B/{total_fmt}B"
REST = ", {percentage:.0f} %, {elapsed} so far, {remaining} left, {rate_fmt}{postfix}"
FIRST, SLOWEST = 10.0, 60.0  # seconds between lines: at the beginning, and at most


class Lines(tqdm):
    """A bar for where nothing can be drawn over: one line now and then, and one at the end.

    On a terminal a bar is drawn over itself with carriage returns; in a file they pile up in one
    line.
    """

    def __init__(self, *, unit: str = "it", **settings: Any) -> None:
        self.gap, self.written = FIRST, -FIRST
        self.shown: float | None = None
        counted = BYTES if unit == "B" else STEPS
        super().__init__(None, unit=unit, bar_format=counted + REST, **settings)

    def display(self, msg: str | None = None, pos: int | None = None) -> None:
        """Write a line, if it says something new and the last one is old enough."""
        now = time.monotonic()
        at_end = self.total is not None and self.n >= self.total
        if msg == "" or self.n == self.shown or (now - self.written < self.gap and not at_end):
            return
        if self.written > 0:
            self.gap = min(2 * self.gap, SLOWEST)
        self.written, self.shown = now, self.n
        self.fp.write(f"{self if msg is None else msg}\n")
        self.fp.flush()

    def refresh(self, nolock: bool = False, lock_args: tuple | None = None) -> None:
        """As tqdm's; a line of the log that comes between (`nolock`) needs no bar drawn again."""
        if not nolock:
            super().refresh(nolock, lock_args)

    def update(self, n: float | None = 1) -> bool | None:
        """As tqdm's, and for whoever watches."""
        drawn = super().update(n)
        if not self.disable:
            progress_file.note(self.desc, self.n, self.total, self.unit)
        return drawn

    def clear(self, nolock: bool = False) -> None:
        """Nothing is ever taken away."""

    def close(self) -> None:
        """The last line, if the bar stops before its end."""
        if not self.disable:
            self.written = -SLOWEST
            self.display()
            self.delay = math.inf  # tqdm draws nothing that was to begin later
            super().close()


def bar(
    total: int | None, label: str, *, rank: int = 0, initial: int = 0, unit: str = "step"
) -> tqdm:
    """A bar with a total on rank 0; lines now and then where standard error is no terminal. The
    unit "B" is bytes, written with k, M, G.
    """
    interrupts.check()
    kind = tqdm if sys.stderr.isatty() else Lines
    return kind(
        total=total,
        initial=initial,
        desc=label,
        unit=unit,
        unit_scale=unit == "B",
        disable=rank != 0,
        mininterval=0.2,
        dynamic_ncols=True,
    )


@contextlib.contextmanager
def announced(what: str, *, every: float = 30.0) -> Iterator[None]:
    """Log `what ...`, a sign of life every `every` seconds, and how long it took at the end."""
    logger, start, done = get_logger(), time.monotonic(), threading.Event()

    def beat() -> None:
        while not done.wait(every):
            logger.info("%s ... %.0f s so far", what, time.monotonic() - start)

    logger.info("%s ...", what)
    progress_file.note(what, 0, None, "")
    thread = threading.Thread(target=beat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
    logger.info("%s: done in %.1f s", what, time.monotonic() - start)
