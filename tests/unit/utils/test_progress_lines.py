"""Where output is no terminal, progress is lines: no carriage return, not many."""

import io
import sys

import pytest

from mindlong.utils import log_output, progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def clock(monkeypatch):
    """Seconds that pass when told to."""
    now = [1000.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def run(monkeypatch, clock, steps, seconds, stream, until=None, **settings):
    monkeypatch.setattr(sys, "stderr", stream)
    with progress.bar(steps, "denoising", **settings) as bar:
        bar.mininterval = 0  # tqdm's own clock stands still here
        for _ in range(steps if until is None else until):
            clock[0] += seconds
            bar.update(1)
    return stream.getvalue()


def test_a_file_gets_lines(monkeypatch, clock):
    lines = run(monkeypatch, clock, 40, 5.0, io.StringIO()).splitlines()
    assert all("\r" not in line for line in lines) and 4 <= len(lines) <= 8
    assert lines[0].startswith("denoising: step 0/40")
    assert lines[-1].startswith("denoising: step 40/40, 100 %")
    assert len(set(lines)) == len(lines)


def test_quick_work_takes_two_lines_and_none_on_other_ranks(monkeypatch, clock):
    assert len(run(monkeypatch, clock, 1000, 0.0, io.StringIO()).splitlines()) == 2
    assert run(monkeypatch, clock, 1000, 0.0, io.StringIO(), rank=1) == ""


def test_work_that_stops_early_says_where(monkeypatch, clock):
    text = run(monkeypatch, clock, 40, 0.1, io.StringIO(), until=3)
    assert text.splitlines()[-1].startswith("denoising: step 3/40")


def test_bytes_are_counted_as_such(monkeypatch, clock):
    text = run(monkeypatch, clock, 3000, 0.0, io.StringIO(), unit="B")
    assert text.splitlines()[-1].startswith("denoising: 3.00kB/3.00kB")


def test_lines_of_the_log_between_draw_no_bar_again(monkeypatch, clock, capsys):
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    logger = log_output.setup()
    with progress.bar(9, "denoising") as bar:
        for _ in range(5):
            logger.info("something")
            bar.update(1)
    assert len(stream.getvalue().splitlines()) == 2


def test_a_terminal_gets_a_bar(monkeypatch, clock):
    assert "\r" in run(monkeypatch, clock, 5, 1.0, Terminal())
