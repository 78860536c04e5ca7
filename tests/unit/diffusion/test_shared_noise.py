"""Noise whose lowest frequencies all frames have in common."""

from types import SimpleNamespace

import numpy as np
import pytest

from mindlong.config.diffusion_options import DiffusionOptions
from mindlong.config.infer_options.long import FreeInitOptions
from mindlong.config.sample import SampleOptions
from mindlong.diffusion.noising import of_options
from mindlong.diffusion.shared_noise import share_low
from mindlong.pipelines.clips import Clip, first_noise
from mindlong.pipelines.text_to_video.again import Again
from mindlong.utils import rng

NOISE = rng.normal((4, 6, 16, 12), 1, "test")


def spectrum(noise):
    return np.fft.fft2(noise)


def test_nothing_is_shared_by_default():
    assert share_low(NOISE, 0.0, seed=3) is NOISE


@pytest.mark.parametrize(
    ("share", "rows", "columns"),
    [(1e-6, 0, 0), (0.125, 1, 0), (0.25, 2, 1), (0.5, 4, 3), (1, 8, 6)],
)
def test_the_low_frequencies_are_the_same_in_all_frames_and_the_others_as_they_were(
    share, rows, columns
):
    made = share_low(NOISE, share, seed=3)
    assert made.dtype == np.float32 and made.shape == NOISE.shape
    low = (np.abs(np.fft.fftfreq(16) * 16) <= rows)[:, None] & (
        np.abs(np.fft.fftfreq(12) * 12) <= columns
    )
    found, before = spectrum(made), spectrum(NOISE)
    np.testing.assert_allclose(found[..., low], found[:, :1][..., low].repeat(6, 1), atol=1e-4)
    np.testing.assert_allclose(found[..., ~low], before[..., ~low], atol=1e-4)
    assert np.abs(found[..., low] - before[..., low]).min() > 1e-3, "of no frame"


def test_a_frequency_at_the_edge_is_taken():
    made = share_low(rng.normal((1, 2, 20, 20), 1, "edge"), 0.3, seed=3)
    found = spectrum(made)
    np.testing.assert_allclose(found[0, 0, 3, 3], found[0, 1, 3, 3], atol=1e-4)
    assert abs(found[0, 0, 4, 3] - found[0, 1, 4, 3]) > 1e-2


def test_each_frame_alone_is_still_standard_normal():
    noise = np.stack([share_low(rng.normal((4, 2, 16, 16), i, "a"), 0.25, i) for i in range(200)])
    of_means = noise.mean((-1, -2)) * 16
    assert abs(of_means.std() - 1) < 0.05 and abs(noise.std() - 1) < 0.01


def test_it_belongs_to_the_video_and_not_to_which_frames_a_process_holds():
    whole = share_low(NOISE, 0.25, seed=3, number=1)
    parts = [share_low(NOISE[:, part], 0.25, 3, 1) for part in (slice(0, 1), slice(1, 6))]
    np.testing.assert_array_equal(np.concatenate(parts, 1), whole)
    for seed, number in ((4, 1), (3, 2)):
        other = share_low(NOISE, 0.25, seed, number)
        assert np.abs(other.mean((-1, -2)) - whole.mean((-1, -2))).min() > 1e-4


def test_sampling_again_shares_them_too():
    noising = of_options(
        DiffusionOptions(schedule="cosine", zero_terminal_snr=True, prediction="v")
    )
    pipeline = SimpleNamespace(sample=SampleOptions(steps=4), noising=noising)
    clip, shape = Clip("video", ("a",), "a", seed=3, number=1), (4, 8, 16, 12)
    spreads = []
    for share in (0.0, 0.25):
        first = share_low(first_noise([clip], shape)[0], share, clip.seed, clip.number)[None]
        again = Again(pipeline, FreeInitOptions(iterations=2), share)
        following = again._next([clip], np.zeros_like(first), first, 1)
        spreads.append(following.mean((-1, -2)).std(2).mean())
    assert spreads[1] < 1e-5 < 1e-2 < spreads[0]
