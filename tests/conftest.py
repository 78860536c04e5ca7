"""Shared by all tests: MindSpore on the CPU in graph mode, quiet."""

import logging
import os
import sys

import pytest

os.environ.setdefault("GLOG_v", "3")
os.environ.setdefault("MPLBACKEND", "Agg")


@pytest.fixture(autouse=True)
def _graph_mode():
    """Every test starts in graph mode, whatever the one before it set; those without MindSpore do not load it."""
    if "mindspore" in sys.modules:
        sys.modules["mindspore"].set_context(mode=0)


@pytest.fixture(autouse=True)
def _logger_as_it_was():
    """A command run inside a test sets up the package's log; the next test finds it as it was."""
    logger = logging.getLogger("mindlong")
    before = logger.handlers[:], logger.level, logger.propagate, logger.filters[:]
    yield
    logger.handlers[:], logger.level, logger.propagate, logger.filters[:] = before
