"""CogVideoX's noising process, both of its samplers and its dynamic guidance against diffusers'
(tools/golden/cogvideox.py).
"""

import math
from pathlib import Path

import numpy as np
import pytest
from cogvideox_cases import SCHEDULER, STEPS, noise, toy

from mindlong.diffusion.guidance import guided, guided_batched, scale_of
from mindlong.diffusion.noising import Noising
from mindlong.diffusion.sample import Plain, rule_of, sample
from mindlong.diffusion.scheduler_config import read
from mindlong.networks.cogvideox.network import NETWORKS
from mindlong.networks.cogvideox.spec import CogVideoXSpec
from mindlong.utils.errors import ConfigError

CLASSES = {"ddim": "CogVideoXDDIMScheduler", "dpm": "CogVideoXDPMScheduler"}


@pytest.fixture(scope="module")
def golden():
    with np.load(Path(__file__).parents[1] / "golden/cogvideox_samplers.npz") as arrays:
        return dict(arrays)


def noising(word) -> Noising:
    return read({"_class_name": CLASSES[word], **SCHEDULER}, "a file")


@pytest.mark.parametrize("steps", STEPS)
@pytest.mark.parametrize("word", CLASSES)
def test_a_file_is_followed_as_diffusers_does(word, steps, golden):
    used, times = golden[f"{word}{steps}/used"], []

    def model(x, t):
        times.append(int(t[0]))
        return toy(x, float(t[0]))

    out = sample(
        Plain("", steps), model, noise(0), noising(word), noise=lambda i: noise(int(used[i]))
    )
    want = golden[f"{word}{steps}/out"]
    assert times == golden[f"{word}{steps}/times"].tolist()
    np.testing.assert_allclose(out, want, rtol=0, atol=1e-6 * max(np.abs(want).max(), 1))


def test_the_original_throws_noises_away(golden):
    """One in the first step, two in each further one, one in the last."""
    assert np.diff(golden["dpm50/used"], prepend=0).tolist() == [1, *[2] * 48, 1]
    assert np.diff(golden["dpm7/used"], prepend=0).tolist() == [1, *[2] * 6]


def test_the_levels_are_the_published_ones(golden):
    schedule = noising("ddim").schedule
    np.testing.assert_allclose(schedule.alphas_cumprod, golden["alphas"], rtol=0, atol=1e-7)
    spots = schedule.alphas_cumprod[[0, 19, 499, 979, 999]]
    np.testing.assert_allclose(spots, [0.997454, 0.946573, 0.0959696, 2.71944e-5, 0], rtol=2e-6)


@pytest.mark.parametrize("steps", STEPS)
def test_without_a_file_the_family_has_the_same_process(steps):
    own = NETWORKS[0].denoiser.noising(CogVideoXSpec(), {})
    assert own.prediction == "v"
    ours, theirs = (rule_of(Plain("ddim", steps), each) for each in (own, noising("ddim")))
    assert ours.times == theirs.times
    assert [(a.alpha, a.sigma) for a in ours.levels] == [(b.alpha, b.sigma) for b in theirs.levels]


def test_the_wave_is_the_published_one():
    times = rule_of(Plain("ddim", 50), noising("ddim")).times
    wave = scale_of("wave", 6.0, times)
    first = [2.29, 2.54, 6.97, 6.42, 2.79, 4.27, 1.04, 4.17, 1.62, 6.98]
    np.testing.assert_allclose([wave(t) for t in times[:10]], first, atol=6e-3)
    ramp = scale_of("ramp", 6.0, times)
    rising = [ramp(t) for t in times]
    assert rising[0] == 1 and rising == sorted(rising)
    assert math.isclose(rising[25], 1 + 3 * (1 - math.cos(math.pi / 32)))
    assert scale_of("constant", 6.0, times) == 6.0
    with pytest.raises(ConfigError, match="no curve 'waves'.*wave"):
        scale_of("waves", 6.0, times)


def test_guidance_follows_a_curve_in_one_pass_and_in_two():
    x, scale = noise(0), scale_of("wave", 6.0, [999, 499])
    t = np.full(1, 499, np.int32)
    cond, null = (lambda x, t: x + 1), (lambda x, t: x)
    both = guided_batched(lambda x, t: np.concatenate([x[:1], x[1:] + 1]), scale)
    want = x + scale(499.0)
    np.testing.assert_allclose(guided(cond, null, scale)(x, t), want, rtol=1e-6)
    np.testing.assert_allclose(both(x, t), want, rtol=1e-6)
