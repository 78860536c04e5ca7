"""Progress bars, and a heartbeat for the silent minutes of a graph compilation."""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Iterator

from tqdm import tqdm

from mindlong.utils import interrupts
from mindlong.utils.log import get_logger


def bar(total: int, label: str, *, rank: int = 0, initial: int = 0, unit: str = "step") -> tqdm:
    """A bar with a total on rank 0; slower refresh where standard error is a file. The unit "B" is
    bytes, written with k, M, G.
    """
    interrupts.check()
    slow = not sys.stderr.isatty()
    return tqdm(
        total=total,
        initial=initial,
        desc=label,
        unit=unit,
        unit_scale=unit == "B",
        disable=rank != 0,
        mininterval=10 if slow else 0.2,
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
    thread = threading.Thread(target=beat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
    logger.info("%s: done in %.1f s", what, time.monotonic() - start)
