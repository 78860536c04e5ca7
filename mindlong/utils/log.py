"""One logger for the project: rank 0 speaks, other ranks only warn; bars are not torn by log
lines.
"""

from __future__ import annotations

import logging
import sys
from pathlib import Path

from tqdm import tqdm

NAME = "mindlong"


class _BarSafeHandler(logging.Handler):
    """Writes through tqdm, so that a running progress bar stays in one piece."""

    def emit(self, record: logging.LogRecord) -> None:
        tqdm.write(self.format(record), file=sys.stdout)
        sys.stdout.flush()


def get_logger() -> logging.Logger:
    """The project's logger; silent until `setup` has been called."""
    return logging.getLogger(NAME)


def setup(rank: int = 0, file: Path | None = None) -> logging.Logger:
    """Send messages to standard output (rank 0: information, others: warnings) and, if given, to a
    file.
    """
    logger = get_logger()
    logger.handlers.clear()
    logger.propagate = False
    logger.setLevel(logging.INFO if rank == 0 else logging.WARNING)
    screen = _BarSafeHandler()
    screen.setFormatter(
        logging.Formatter("%(message)s" if rank == 0 else f"rank {rank}: %(message)s")
    )
    logger.addHandler(screen)
    if file is not None:
        file.parent.mkdir(parents=True, exist_ok=True)
        to_file = logging.FileHandler(file, encoding="utf-8")
        to_file.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
        logger.addHandler(to_file)
    return logger


_said: set[str] = set()


def once(message: str, level: int = logging.INFO) -> None:
    """Log `message` the first time it is asked for in this process."""
    if message not in _said:
        _said.add(message)
        get_logger().log(level, "%s", message)
