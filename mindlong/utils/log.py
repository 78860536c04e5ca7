"""The one logger of the project. Where its messages go is said by `mindlong.utils.log_output`."""

from __future__ import annotations

import logging

NAME = "mindlong"


def get_logger() -> logging.Logger:
    """The project's logger; silent until `log_output.setup` has been called."""
    return logging.getLogger(NAME)


_said: set[str] = set()


def once(message: str, level: int = logging.INFO) -> None:
    """Log `message` the first time it is asked for in this process."""
    if message not in _said:
        _said.add(message)
        get_logger().log(level, "%s", message)
