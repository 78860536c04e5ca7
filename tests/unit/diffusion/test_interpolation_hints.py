"""Hints, masks and pinned frames of interpolation, against their definitions."""

import numpy as np
import pytest

from mindlong.diffusion import hints
from mindlong.diffusion.samplers import SAMPLERS, sampler
from mindlong.diffusion.samplers.loop import Held
from mindlong.diffusion.schedules import scaled_linear
from mindlong.utils.errors import ConfigError

LENGTHS = [1, 2, 4, 5, 6, 16, 17, 18, 24, 65]


@pytest.mark.parametrize("frames", LENGTHS)
@pytest.mark.parametrize("factor", [2, 3, 4])
def test_the_published_hint_is_the_given_frame_before(frames, factor):
    """Repeat each of latents[:, :, 0::factor] factor times and cut, as the blog's four lines do."""
    video = np.random.default_rng(0).standard_normal((2, 4, frames, 2, 3)).astype(np.float32)
    keys = video[:, :, ::factor]
    repeated = np.repeat(keys, factor, axis=2)[:, :, :frames]
    made = hints.stage_fill(frames, factor)
    assert np.array_equal(made.before, factor * (np.arange(frames) // factor) // factor)
    assert np.array_equal(made.spread(keys), repeated)


@pytest.mark.parametrize("frames", LENGTHS)
@pytest.mark.parametrize("factor", [2, 3, 4])
def test_nearest_and_linear_against_their_definitions(frames, factor):
    places = np.arange(0, frames, factor)
    nearest = hints.stage_fill(frames, factor, "nearest")
    assert [places[k] for k in nearest.before] == [
        min(places, key=lambda p, i=i: (abs(p - i), p)) for i in range(frames)
    ]
    keys = np.random.default_rng(1).standard_normal((1, 1, len(places), 1, 1)).astype(np.float32)
    linear = hints.stage_fill(frames, factor, "linear").spread(keys)[0, 0, :, 0, 0]
    np.testing.assert_allclose(
        linear, np.interp(np.arange(frames), places, keys[0, 0, :, 0, 0]), atol=1e-6
    )


@pytest.mark.parametrize("how", hints.FILLS)
def test_a_given_frame_is_told_itself_bit_for_bit(how):
    keys = np.random.default_rng(2).standard_normal((1, 4, 5, 2, 2)).astype(np.float32)
    assert np.array_equal(hints.stage_fill(17, 4, how).spread(keys)[:, :, ::4], keys)


def test_given_frames_may_lie_before_the_run_or_anywhere_in_it():
    first = hints.fill(
        [0], range(1, 8)
    )  # the first-frame model: makes the frames after the given one
    assert np.array_equal(first.before, np.zeros(7))
    assert list(hints.fill([0, 1, 2], range(7)).before) == [0, 1, 2, 2, 2, 2, 2]
    assert list(hints.fill([3, 9], range(12), "nearest").before) == [0] * 7 + [1] * 5


def test_masks_say_what_is_painted():
    assert not hints.mask(range(0, 17, 4), range(17), (2, 3)).any()
    between = hints.mask(range(0, 9, 4), range(9), (2, 3), "between")
    assert between.shape == (1, 1, 9, 2, 3)
    assert list(between[0, 0, :, 0, 0]) == [0, 1, 1, 1, 0, 1, 1, 1, 0]


@pytest.mark.parametrize(("snr", "level"), [(0.33, 0.867), (0.66, 0.776)])
def test_noise_on_hints_keeps_the_variance_and_has_the_ratio_it_says(snr, level):
    draw = np.random.default_rng(3)
    signal, noise = draw.standard_normal((2, 200000)).astype(np.float32)
    assert abs(hints.augment(signal, noise, level).var() - 1) < 0.02
    assert (1 - level**2) / level**2 == pytest.approx(snr, rel=0.01)
    assert hints.augment(signal, noise, 0.0) is signal


@pytest.mark.parametrize("prediction", ["eps", "v", "x0"])
@pytest.mark.parametrize("word, eta", [*((word, 0.0) for word in SAMPLERS), ("ddim", 1.0)])
def test_held_frames_keep_their_noise_level_and_come_out_as_given(prediction, word, eta):
    schedule, draw = scaled_linear(20), np.random.default_rng(4)
    given, seen = draw.standard_normal((1, 2, 2, 3, 3)).astype(np.float32), []

    def network(x, t):
        seen.append((int(t[0]), x[:, :, [0, 4]]))
        return np.zeros_like(x)

    held = Held(given, (0, 4))
    start = hints.pinned_start(
        draw.standard_normal((1, 2, 5, 3, 3)).astype(np.float32), given, (0, 4), schedule
    )

    def noise(step):
        return np.random.default_rng(step).standard_normal(start.shape).astype(np.float32)

    own = {} if word == "ddpm" else {"steps": 10}
    own |= {"eta": eta} if eta else {}
    own |= {"original": 20} if word in ("lcm", "tcd") else {}
    out = sampler(word)(
        network,
        start,
        schedule,
        noise=noise,
        prediction=prediction,
        held=held,
        pure_noise=False,
        **own,
    )
    np.testing.assert_allclose(out[:, :, [0, 4]], given, atol=2e-4)
    t, late = seen[-1]
    assert np.abs(late - schedule.level(t).alpha * given).max() < 5 * schedule.level(t).sigma


def test_what_cannot_be_is_refused_in_a_sentence():
    for call, words in [
        (lambda: hints.stage_fill(5, 4, "nearset"), "Did you mean 'nearest'"),
        (lambda: hints.fill([], range(4)), "ascending"),
        (lambda: hints.fill([4, 2], range(4)), "ascending"),
        (lambda: hints.mask([0], [0], (1, 1), "all"), "must be one of"),
        (lambda: hints.augment(np.zeros(1), np.zeros(1), 1.5), "between 0"),
    ]:
        with pytest.raises(ConfigError, match=words):
            call()
