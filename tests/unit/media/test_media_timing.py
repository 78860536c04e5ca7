"""Rates from times: the length is kept, a header is believed as far as the times agree."""

import numpy as np
import pytest

from mindlong.media.timing import Delays, Stamps, timing


def even(count, rate, digits=None):
    times = np.arange(count) / rate
    return list(times if digits is None else times.round(digits))


@pytest.mark.parametrize("rate", [23.976, 25, 29.97, 30, 50, 59.94, 120, 7.5])
@pytest.mark.parametrize("stated", [True, False])
def test_even_times_rounded_to_a_thousandth_give_their_rate(rate, stated):
    found = timing(even(500, rate, 3), rate if stated else None)
    assert found.even and not found.notes and found.fps == pytest.approx(rate, rel=1e-4)
    if stated:
        assert found.fps == rate


def test_a_header_that_contradicts_the_times_loses():
    found = timing(even(50, 25), 50)
    assert found.even and found.fps == pytest.approx(25)
    assert found.notes == ("it states 50 frames a second; the times of its frames say 25",)
    assert "which is not believed" in timing(even(50, 25), 90000).notes[0]


@pytest.mark.parametrize(
    ("stated", "fps"), [(None, 25), (0, 25), (90000, 25), (1e-9, 25), (12, 12), (float("nan"), 25)]
)
@pytest.mark.parametrize("times", [[], [0.0], [None, None], [0.0, None, 0.2]])
def test_without_times_the_header_counts_if_it_can_be_meant(times, stated, fps):
    found = timing(times, stated)
    assert found.fps == fps and found.even
    assert bool(found.notes) == (fps == 25)


def test_times_that_no_film_has_are_not_believed():
    found = timing(even(9, 90000), 90000)
    assert (
        found.fps == 25 and "states 90000 frames a second, which is not believed" in found.notes[0]
    )


@pytest.mark.parametrize(
    "gaps",
    [
        [0.2] * 28 + [1 / 30] * 12,
        [1 / 30] * 12 + [0.2] * 28,
        [0.1] * 9 + [0.6] + [0.1] * 9,
        [0.1] * 30 + [0.02] + [0.1] * 30,
        list(np.linspace(0.05, 0.1, 60)),
    ],
)
def test_uneven_times_keep_their_length(gaps):
    times = list(np.cumsum([0, *gaps[:-1]]))
    found = timing(times, 10)
    assert not found.even and "ms apart" in found.notes[0]
    assert len(times) / found.fps == pytest.approx(times[-1] + gaps[-2], rel=1e-6)


@pytest.mark.parametrize("seed", range(3))
def test_jitter_of_a_telephone_is_even(seed):
    jitter = np.random.default_rng(seed).uniform(-0.004, 0.004, 300)
    found = timing(list(np.arange(300) / 30 + jitter), 30)
    assert found.even and found.fps == 30


def test_film_among_the_fields_of_television_is_even():
    times = np.cumsum([0] + [2 / 60, 3 / 60] * 40)
    assert timing(list(times), 24).even


@pytest.mark.parametrize("times", [[0.0, 0.1, 0.1, 0.2], [0.0, 0.2, 0.1]])
def test_times_that_stand_still_or_go_back_are_said(times):
    found = timing(times, 10)
    assert not found.even and found.fps == 10 and "repeat or go back" in found.notes[0]


def test_delays_are_shown_as_viewers_show_them():
    clock = Delays()
    for delay in (0, 10, 40):
        clock.append(delay)
    assert clock.timing(3).fps == pytest.approx(3 / 0.24) and clock.time(2) == pytest.approx(0.2)
    assert not clock.timing(3).even and clock.timing(2).even


def test_a_clock_tells_times_it_does_not_know_by_the_rate():
    clock = Stamps(10.0, [0.5, None, 0.9])
    assert [clock.time(n) for n in range(4)] == pytest.approx([0, 0.1, 0.4, 0.3])
