"""The exit code of a training that was stopped as asked."""

import signal

from mindlong.training.run import exit_code


def test_the_code_says_the_signal(monkeypatch):
    monkeypatch.delenv("MINDLONG_STOP_CODE", raising=False)
    assert (exit_code(0), exit_code(signal.SIGTERM)) == (0, 143)


def test_a_launcher_that_takes_codes_amiss_finds_it_in_a_file(tmp_path, monkeypatch):
    place = tmp_path / "code"
    monkeypatch.setenv("MINDLONG_STOP_CODE", str(place))
    assert exit_code(0) == 0 and not place.exists()
    assert exit_code(signal.SIGUSR2) == 0 and place.read_text() == str(128 + signal.SIGUSR2)
