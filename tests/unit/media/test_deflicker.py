"""Averages along time: what flickers becomes steady, what moves stays."""

import numpy as np
import pytest

from mindlong.data.shapes import ShapesWorld
from mindlong.media.deflicker import deflickered


def flickering(video, size, seed=0):
    """Each frame a little lighter or darker, and noise on every pixel."""
    rng = np.random.default_rng(seed)
    tones = rng.normal(0, size, (len(video), 1, 1, 1)) + rng.normal(0, size, video.shape)
    return np.clip(np.rint(video + tones), 0, 255).astype(np.uint8)


def change(video):
    return np.abs(np.diff(video.astype(np.float32), axis=0)).mean()


def test_a_still_scene_flickers_less_and_keeps_its_tone():
    still = np.full((20, 16, 16, 3), 90, np.uint8)
    noisy = flickering(still, 1.5)
    calm = np.stack(list(deflickered(iter(noisy), 2)))
    assert calm.shape == noisy.shape
    assert change(calm) < change(noisy) / 2.5
    assert np.abs(calm.astype(int) - 90).mean() < np.abs(noisy.astype(int) - 90).mean()


def test_what_moves_stays_where_it_is():
    """Frames of a moving shape change by a level or two at its edges, and nowhere else."""
    clip = ShapesWorld((48, 48), 16).clip(3).frames_FHWC
    calm = np.stack(list(deflickered(iter(clip), 3)))
    apart = np.abs(calm.astype(int) - clip.astype(int)).max(-1)
    assert np.quantile(apart, 0.999) <= 8 and apart.mean() < 0.1


def test_nothing_is_asked_nothing_is_changed():
    noisy = flickering(np.full((5, 8, 8, 3), 90, np.uint8), 3.0)
    assert np.array_equal(np.stack(list(deflickered(iter(noisy), 0))), noisy)


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 6, 11])
def test_every_frame_is_the_mean_of_those_around_it(count):
    """Against the definition, for lengths below and above the reach of 2."""
    rng = np.random.default_rng(count)
    video = rng.integers(100, 108, (count, 6, 7, 3)).astype(np.uint8)
    got = list(deflickered(iter(video), 2))
    assert len(got) == count
    alone = [
        list(deflickered(iter(video[max(t - 2, 0) : t + 3]), 10))[min(t, 2)] for t in range(count)
    ]
    assert np.array_equal(np.stack(got), np.stack(alone))


def test_frames_are_taken_no_further_than_they_reach():
    taken = []

    def frames():
        for number in range(50):
            taken.append(number)
            yield np.full((4, 4, 3), 100, np.uint8)

    next(deflickered(frames(), 3))
    assert taken == [0, 1, 2, 3]
