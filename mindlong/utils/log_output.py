"""Where the project's messages go: rank 0 speaks, other ranks only warn; bars are not torn by log
lines.
"""

from __future__ import annotations

import logging
import sys
from pathlib import Path

from tqdm import tqdm

from mindlong.utils import streams, system
from mindlong.utils.log import NAME, get_logger


class _BarSafeHandler(logging.Handler):
    """Writes through tqdm, so that a running progress bar stays in one piece."""

    def emit(self, record: logging.LogRecord) -> None:
        tqdm.write(self.format(record), file=sys.stdout)
        sys.stdout.flush()


class _LogFile(logging.FileHandler):
    """A log file that is no reason to stop: where it cannot be written, that is said once."""

    def __init__(self, path: Path) -> None:
        with system.explained(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            super().__init__(path, encoding="utf-8", errors="backslashreplace")
        self.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
        self.lost = False

    def emit(self, record: logging.LogRecord) -> None:
        if not self.lost:
            super().emit(record)

    def handleError(self, record: logging.LogRecord) -> None:
        error = sys.exc_info()[1]
        if not isinstance(error, OSError):
            super().handleError(record)
            return
        self.lost = True
        why = system.sentence(error, self.baseFilename)
        get_logger().warning("%s (the run goes on without its log)", why)


def setup(rank: int = 0, file: Path | None = None) -> logging.Logger:
    """Send messages to standard output (rank 0: information, others: warnings) and, if given, to a
    file.
    """
    logger = get_logger()
    leave_file()
    logger.handlers.clear()
    logger.propagate = False
    logger.setLevel(logging.INFO if rank == 0 else logging.WARNING)
    screen = _BarSafeHandler()
    screen.setFormatter(
        logging.Formatter("%(message)s" if rank == 0 else f"rank {rank}: %(message)s")
    )
    logger.addHandler(screen)
    if file is not None:
        logger.addHandler(_LogFile(file))
        streams.outlive(str(file))
    return logger


def to_file(message: str) -> None:
    """Log an error where it is not seen: in the log file alone, for whoever reads it later."""
    logger = get_logger()
    record = logger.makeRecord(NAME, logging.ERROR, "", 0, message, (), None)
    for handler in logger.handlers:
        if isinstance(handler, _LogFile):
            handler.handle(record)


def leave_file() -> None:
    """Close the log file; from now on there is the screen alone."""
    for handler in list(get_logger().handlers):
        if isinstance(handler, _LogFile):
            get_logger().removeHandler(handler)
            handler.close()
