"""Interpolation without a network, and the scores by which it and networks are compared."""

import numpy as np
import pytest

from mindlong.data.agreement import agreed, with_flow
from mindlong.data.flow import METHODS, blend, dis_flow, fill_between, method, warp_flow
from mindlong.data.shapes import ShapesWorld
from mindlong.scores.interpolation import mean_shapes, psnr, score, score_shapes, ssim, usable
from mindlong.utils.errors import ConfigError, InputFileError


def moving(frames=9, step=1.5, side=64):
    """A smooth pattern that moves right by `step` pixels a frame."""
    y, x = np.mgrid[:side, :side].astype(np.float64)

    def pattern(s):
        return 128 + 60 * np.sin((x - s) / 5) * np.cos(y / 6) + 30 * np.cos((x - s + y) / 9)

    return np.stack(
        [
            np.repeat(np.rint(pattern(step * f)).astype(np.uint8)[..., None], 3, -1)
            for f in range(frames)
        ]
    )


def test_flow_finds_the_motion_there_is():
    video = moving(2, 3.0)
    inner = dis_flow(video[0], video[1])[12:-12, 12:-12]
    assert np.abs(np.median(inner[..., 0]) - 3.0) < 0.2 and np.abs(np.median(inner[..., 1])) < 0.2


def test_flow_beats_blending_beats_repeating_on_motion():
    truth = moving(9, 2.0)
    found = {
        name: score(truth, fill_between(truth[::4], 4, METHODS[name]), 4).psnr for name in METHODS
    }
    assert found["flow"] > found["blend"] + 6 and found["blend"] > found["repeat"]


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("factor", [2, 3, 4])
def test_key_frames_stay_bit_equal_and_lengths_follow(name, factor):
    keys = moving(4, 2.0, 48)
    made = np.stack(list(fill_between(iter(keys), factor, METHODS[name])))
    assert len(made) == 3 * factor + 1 and made.dtype == np.uint8
    assert np.array_equal(made[::factor], keys)


@pytest.mark.parametrize("name", METHODS)
def test_a_still_video_stays_still(name):
    keys = np.repeat(moving(1), 3, 0)
    made = np.stack(list(fill_between(keys, 4, METHODS[name])))
    assert np.abs(made.astype(int) - keys[0]).max() <= 1


def test_blending_is_what_it_says():
    a, b = np.zeros((2, 2, 3), np.uint8), np.full((2, 2, 3), 200, np.uint8)
    assert [f[0, 0, 0] for f in blend(a, b, [0.25, 0.5, 0.75])] == [50, 100, 150]


@pytest.mark.parametrize("size", [(16, 16), (17, 40), (30, 31)])
def test_small_and_odd_sizes_can_be_warped(size):
    a, b = np.random.default_rng(0).integers(0, 255, (2, *size, 3), dtype=np.uint8)
    assert warp_flow(a, b, [0.5])[0].shape == (*size, 3)


def test_frames_are_asked_for_as_they_are_needed():
    asked = []

    def source():
        for i, frame in enumerate(moving(6, 1.0, 48)):
            asked.append(i)
            yield frame

    made = fill_between(source(), 2, blend)
    for _ in range(3):
        next(made)
    assert asked == [0, 1]


def test_what_cannot_be_interpolated_is_refused_in_a_sentence():
    frames = moving(2)
    with pytest.raises(ConfigError, match="factor is 1"):
        next(fill_between(frames, 1, blend))
    for few, words in ((0, "there are 0"), (1, "there is 1")):
        with pytest.raises(InputFileError, match=f"at least 2 key frames; {words}"):
            list(fill_between(frames[:few], 4, blend))
    with pytest.raises(InputFileError, match="key frame 1 is 32x64, the one before 64x64"):
        list(fill_between([frames[0], frames[1][:32]], 4, blend))
    with pytest.raises(ConfigError, match="Did you mean 'flow'"):
        method("flw")


def test_scores_against_their_definitions():
    a = moving(1)[0]
    assert psnr(a, a) == 100.0 and ssim(a, a) == pytest.approx(1.0)
    assert psnr(a, a ^ 1) == pytest.approx(20 * np.log10(255), abs=1e-9)
    noisy = np.clip(a + np.random.default_rng(0).normal(0, 25, a.shape), 0, 255).astype(np.uint8)
    assert ssim(a, noisy) < 0.85 < ssim(a, np.clip(a.astype(int) + 10, 0, 255).astype(np.uint8))
    assert [usable(n, 4) for n in (1, 4, 5, 16, 17)] == [1, 1, 5, 13, 17]
    with pytest.raises(ConfigError, match="nothing to compare"):
        score([a], [a], 4)


def test_the_reader_measures_positions_between_key_frames():
    clip = ShapesWorld((48, 48), 17).clip(3)
    exact = score_shapes(clip, clip.frames_FHWC, 4)
    assert exact.position < 0.3 and exact.steady and exact.right and abs(exact.smoothness) < 0.3
    late = score_shapes(
        clip, np.stack(list(fill_between(clip.frames_FHWC[::4], 4, METHODS["repeat"]))), 4
    )
    assert late.position > exact.position + 0.5
    assert mean_shapes([exact, late])["position"] == pytest.approx(
        (exact.position + late.position) / 2
    )


def test_where_network_and_flow_agree_the_pixels_are_flows():
    """On the left both show the same, up to what an autoencoder loses; on the right they do not."""
    flow = np.full((32, 64, 3), 100, np.uint8)
    network = flow + 4
    network[:, 32:] = 220
    mixed = agreed(network, flow).astype(int)
    assert np.abs(mixed[:, :24] - 100).max() <= 1 and np.abs(mixed[:, 40:] - 220).max() <= 1
    assert np.all(np.diff(mixed[16, :, 0]) >= 0)


def test_given_frames_stay_as_they_are_and_no_frame_is_added():
    clip = ShapesWorld((48, 48), 9).clip(3).frames_FHWC
    soft = np.clip(clip.astype(int) + 6, 0, 255).astype(np.uint8)
    got = np.stack(list(with_flow(iter(soft[:7]), iter(clip[::4]), 4)))
    assert len(got) == 7
    assert np.array_equal(got[::4], clip[:7:4])
    assert psnr(clip[1:4], got[1:4]) > psnr(clip[1:4], soft[1:4])


def test_agreement_with_flow_needs_two_given_frames():
    clip = ShapesWorld((48, 48), 5).clip(3).frames_FHWC
    with pytest.raises(InputFileError, match="at least 2 key frames"):
        list(with_flow(iter(clip), iter(clip[:1]), 4))
