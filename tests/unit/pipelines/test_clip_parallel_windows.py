"""Windows: together they see every frame, their sum is weighted, and FreeNoise's noise is a
reordering.
"""

import numpy as np
import pytest

from mindlong.pipelines.clip_parallel.windows import Windows, shuffled, weights, windows
from mindlong.utils.errors import ConfigError


@pytest.mark.parametrize(
    ("frames", "window", "stride"),
    [
        (16, 16, 4),
        (17, 16, 4),
        (64, 16, 4),
        (65, 16, 16),
        (40, 16, 7),
        (5, 1, 1),
    ],
)
def test_windows_cover_every_frame_and_overlap_as_told(frames, window, stride):
    found = windows(frames, window, stride)
    assert {f for w in found for f in w} == set(range(frames)) and all(
        len(w) == window for w in found
    )
    assert all(b.start - a.start <= stride for a, b in zip(found, found[1:], strict=False))


@pytest.mark.parametrize(("frames", "window", "stride"), [(16, 16, 0), (16, 16, 17), (8, 16, 4)])
def test_windows_that_cannot_be_are_refused(frames, window, stride):
    with pytest.raises(ConfigError, match="clip_parallel"):
        windows(frames, window, stride)


def test_weights_fall_to_the_ends():
    assert weights(6).tolist() == [1, 2, 3, 3, 2, 1] and weights(3, flat=True).tolist() == [1, 1, 1]


def test_a_model_that_sees_frames_alone_is_not_changed():
    x = np.random.default_rng(0).standard_normal((2, 3, 21, 2, 2)).astype(np.float32)
    out = Windows(lambda part, t, place: 2 * part, 21, 8, 3).predict(x, np.zeros(2, np.int32))
    np.testing.assert_allclose(out, 2 * x, rtol=1e-6)


def test_the_sum_is_weighted():
    x = np.zeros((1, 1, 6, 1, 1), np.float32)
    out = Windows(lambda part, t, place: part + place.start, 6, 4, 2).predict(
        x, np.zeros(1, np.int32)
    )[0, 0, :, 0, 0]
    np.testing.assert_allclose(
        out, [0, 0, 2 / 3, 4 / 3, 2, 2], atol=1e-6
    )  # in frame 2 the weights are 2 and 1


def test_windows_are_dealt_to_processes():
    class Half:
        size = 2

        def __init__(self, rank):
            self.rank = rank

        def all_reduce_sum(self, values):
            return values

    x, t = np.ones((1, 1, 12, 1, 1), np.float32), np.zeros(1, np.int32)
    halves = [
        Windows(lambda part, t, place: part, 12, 4, 2, Half(rank)).predict(x, t) for rank in (0, 1)
    ]
    np.testing.assert_allclose(halves[0] + halves[1], x, rtol=1e-6)
    assert halves[0].min() < 1


def test_shuffled_noise_repeats_blocks_in_a_new_order():
    source = shuffled(64, 16, 4, 7)
    assert source[:16].tolist() == list(range(16)) and len(source) == 64
    for start in range(16, 64, 4):
        assert sorted(source[start : start + 4]) == sorted(source[start - 16 : start - 12])
    assert source[16:].tolist() != source[:48].tolist() and np.array_equal(
        source, shuffled(64, 16, 4, 7)
    )
    assert (
        np.array_equal(shuffled(19, 16, 4, 7)[:16], source[:16]) and len(shuffled(5, 16, 4, 7)) == 5
    )
