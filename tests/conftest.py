"""Shared by all tests: MindSpore on the CPU in graph mode, quiet."""

import logging
import os
import sys

import pytest

os.environ.setdefault("GLOG_v", "3")
os.environ.setdefault("MPLBACKEND", "Agg")


@pytest.fixture(autouse=True)
def _graph_mode():
    """Every test starts in graph mode, whatever the one before it set; those without MindSpore do
    not load it.
    """
    if "mindspore" in sys.modules:
        sys.modules["mindspore"].set_context(mode=0)


@pytest.fixture(autouse=True)
def _logger_as_new():
    """A command run inside a test, or inside what a file sets up once, configures the package's
    log; no test meets that.
    """
    _renew(logging.getLogger("mindlong"))
    yield
    _renew(logging.getLogger("mindlong"))


def _renew(logger):
    logger.handlers.clear()
    logger.filters.clear()
    logger.setLevel(logging.NOTSET)
    logger.propagate = True
