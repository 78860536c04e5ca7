"""Shared by all tests: MindSpore on the CPU in graph mode, quiet."""

import logging
import os
import signal
import sys
import zlib

import pytest

os.environ.setdefault("GLOG_v", "3")
os.environ.setdefault("MPLBACKEND", "Agg")
os.environ.setdefault("MINDLONG_NO_GRAPH_CACHE", "1")  # a test compiles what it tests

# A suite that was started behind another command (`&`, nohup) is told to ignore these, and what it
# starts would be as well: the tests that stop a command by a signal would wait for ever.
for _number, _heard in (
    (signal.SIGINT, signal.default_int_handler),
    (signal.SIGHUP, signal.SIG_DFL),
):
    if signal.getsignal(_number) is signal.SIG_IGN:
        signal.signal(_number, _heard)


def _set_mode(module):
    if "mindspore" in sys.modules:
        sys.modules["mindspore"].set_context(
            mode=1 if getattr(module, "MODE", "graph") == "pynative" else 0
        )


@pytest.fixture(autouse=True, scope="module")
def _mode_of_the_file(request):
    """What a file sets up once is computed as its tests are."""
    _set_mode(request.module)


@pytest.fixture(autouse=True)
def _mode(request):
    """Every test starts in graph mode, whatever the one before it set; in a file that says
    `MODE = "pynative"` operator by operator, as tiny networks take longer to compile than to run.
    Those without MindSpore do not load it.
    """
    _set_mode(request.module)


@pytest.fixture(autouse=True, scope="session")
def _signals_stay_the_tests():
    """A command run inside a test would take the signals over for the whole process: later tests,
    and what they start, would have SIGINT blocked, and its exception at any time.
    """
    from mindlong.utils import interrupts

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(interrupts, "shield", lambda: None)
        yield


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


def pytest_addoption(parser):
    parser.addoption(
        "--share",
        default=None,
        metavar="K/N",
        help="run only the K-th of N shares of the tests chosen (K from 0), by the digest of their names",
    )


def pytest_collection_modifyitems(config, items):
    """Keeps one share: N runs with K = 0 .. N - 1 run every test once."""
    if config.getoption("--share") is None:
        return
    k, n = map(int, config.getoption("--share").split("/"))
    assert 0 <= k < n, "--share is K/N with 0 <= K < N"
    mine = [item for item in items if zlib.crc32(item.nodeid.encode()) % n == k]
    config.hook.pytest_deselected(items=[item for item in items if item not in mine])
    items[:] = mine
