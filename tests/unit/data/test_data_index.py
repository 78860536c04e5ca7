"""Which clip, which frames, which pixels: functions of numbers alone."""

import numpy as np
import pytest

from mindlong.data.index import item_of, window
from mindlong.data.transforms import corner, covering_size, crop, resize
from mindlong.utils.errors import ConfigError


@pytest.mark.parametrize("count", [1, 2, 7, 100])
def test_every_epoch_takes_every_item_once(count):
    for epoch in range(3):
        taken = [item_of(5, epoch * count + i, count) for i in range(count)]
        assert sorted(taken) == list(range(count))


def test_epochs_and_seeds_shuffle_differently():
    orders = [
        [item_of(seed, start + i, 50) for i in range(50)]
        for seed, start in ((0, 0), (0, 50), (1, 0))
    ]
    assert orders[0] != orders[1] and orders[0] != orders[2]
    with pytest.raises(ConfigError, match="0 items"):
        item_of(0, 0, 0)


@pytest.mark.parametrize(
    ("count", "frames", "stride", "short", "start", "wanted"),
    [
        (10, 4, 1, "refuse", 0.0, [0, 1, 2, 3]),
        (10, 4, 1, "refuse", 0.999, [6, 7, 8, 9]),
        (10, 4, 3, "refuse", 0.5, [0, 3, 6, 9]),
        (11, 4, 3, "refuse", 0.5, [1, 4, 7, 10]),
        (3, 5, 1, "repeat_last", 0.7, [0, 1, 2, 2, 2]),
        (3, 5, 1, "loop", 0.7, [0, 1, 2, 0, 1]),
        (5, 5, 2, "loop", 0.0, [0, 2, 4, 0, 2]),
        (1, 3, 4, "repeat_last", 0.0, [0, 0, 0]),
        (10, 4, 2.5, "refuse", 0.0, [0, 2, 5, 7]),
        (4, 6, 0.5, "refuse", 0.0, [0, 0, 1, 1, 2, 2]),
    ],
)
def test_windows(count, frames, stride, short, start, wanted):
    assert window(count, frames, stride, short, start).tolist() == wanted


def test_a_short_file_is_refused_with_both_numbers():
    with pytest.raises(ConfigError, match="has 9 frames where 10 are needed"):
        window(9, 4, 3, "refuse", 0.0)


@pytest.mark.parametrize(
    ("size", "wanted", "covering"),
    [
        ((48, 64), (32, 32), (32, 42)),
        ((64, 48), (32, 32), (42, 32)),
        ((65, 64), (64, 64), (65, 64)),
        ((540, 960), (64, 64), (64, 113)),
        ((10, 200), (32, 32), (32, 640)),
        ((20, 20), (64, 64), (64, 64)),
        ((100, 100), (32, 64), (64, 64)),
        ((90, 160), (36, 64), (36, 64)),
        ((91, 160), (36, 64), (36, 64)),
    ],
)
def test_covering_sizes_are_torchvisions_for_squares_and_cover_any(size, wanted, covering):
    assert covering_size(size, wanted) == covering
    assert covering[0] >= wanted[0] and covering[1] >= wanted[1]


def test_the_centre_is_rounded_half_to_even_as_torchvision_does():
    assert [corner((32 + d, 32), (32, 32), None)[0] for d in (0, 1, 2, 3, 5, 7)] == [
        0,
        0,
        1,
        2,
        2,
        4,
    ]


def test_crops_stay_inside_and_reach_every_place():
    frames = np.arange(6 * 9 * 3, dtype=np.uint8).reshape(1, 6, 9, 3).repeat(2, 0)
    places = {
        crop(frames, (4, 5), (a, b))[0, 0, 0, 0]
        for a in np.linspace(0, 0.999, 9)
        for b in np.linspace(0, 0.999, 15)
    }
    assert places == {int(frames[0, y, x, 0]) for y in range(3) for x in range(5)}
    assert (crop(frames, (4, 5), None, flip=True) == crop(frames, (4, 5))[:, :, ::-1]).all()


def test_resizing_is_pillows_antialiased_bilinear_filter():
    board = (np.indices((64, 64)).sum(0) % 2 * 255).astype(np.uint8)[..., None].repeat(3, -1)
    small = resize(board, (16, 16))
    assert (
        small.shape == (16, 16, 3) and np.abs(small.astype(int) - 127).max() <= 4
    )  # no moire: it averages
    assert resize(board, (64, 64)) is board
