"""Shared by all tests: MindSpore on the CPU in graph mode, quiet."""

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
