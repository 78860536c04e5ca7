"""The one call of a sampler: what it checks before it asks the network, and what it says of numbers
that are not finite.
"""

import dataclasses

import numpy as np
import pytest

from mindlong.config.load import load
from mindlong.config.sample import SampleOptions
from mindlong.config.schema import TrainConfig
from mindlong.diffusion.finite import NotFiniteError, Row, check_finite, frames_text
from mindlong.diffusion.inversion import invert_ddim
from mindlong.diffusion.noising import Noising, SchedulerFile
from mindlong.diffusion.sample import Plain, count_steps, rule_of, sample
from mindlong.diffusion.samplers import SAMPLERS, sampler
from mindlong.diffusion.schedules import cosine, scaled_linear, zero_terminal_snr
from mindlong.utils.errors import ConfigError

SD = Noising(scaled_linear())
TWICE = ("heun", "kdpm2", "kdpm2_ancestral")  # ask twice a step, but for the last
X = np.random.default_rng(0).standard_normal((2, 3, 8, 4, 4)).astype(np.float32)


def calm(x, t):
    return (0.3 * np.tanh(x)).astype(np.float32)


def noise(step):
    return np.random.default_rng(step).standard_normal(X.shape).astype(np.float32)


@pytest.mark.parametrize("name", SAMPLERS)
def test_the_steps_counted_are_the_calls_made(name):
    asked = []

    def model(x, t):
        asked.append(t)
        return calm(x, t)

    found = Noising(scaled_linear(40))
    options = Plain(name, steps=7, original=20 if name in FEW else 0)
    sample(options, model, X, found, noise=noise)
    calls = {"ddpm": 40, "pndm": 8, **dict.fromkeys(TWICE, 13)}.get(name, 7)
    assert len(asked) == count_steps(options, found) == calls


@pytest.mark.parametrize("name", SAMPLERS)
def test_noise_is_asked_for_before_the_network_is(name):
    def never(x, t):
        raise AssertionError("the network was asked")

    options = Plain(name, steps=3, eta=1.0 if name == "ddim" else 0.0)
    if sampler(name).needs_noise or options.eta:
        with pytest.raises(ConfigError, match=f"{name} adds noise at every step"):
            sample(options, never, X, SD, noise=None)
    else:
        assert sample(options, calm, X, SD, noise=None).shape == X.shape


KEYS = {"eta": 0.5, "flavour": "diffusers", "spacing": "quadratic", "steps": 7, "original": 20}
FEW = dict.fromkeys(("lcm", "tcd"), "animatelcm")  # their word for a flavour


@pytest.mark.parametrize("name", SAMPLERS)
@pytest.mark.parametrize("key", KEYS)
def test_every_key_acts_or_is_refused_where_the_sampler_is_named(name, key):
    """Refused by the configuration, which knows where it was set."""
    read = name != "ddpm" and (key == "steps" or key in sampler(name).keys)
    value = FEW.get(name, KEYS[key]) if key == "flavour" else KEYS[key]
    words = [f"preview.sample.sampler={name}", f"preview.sample.{key}={value}"]
    model = ["model.family=vdm", "preview.prompts=['']"]
    if not read:
        with pytest.raises(ConfigError, match=f"preview.sample.{key} is not read where"):
            load(None, [*words, *model], TrainConfig)
        return
    words += [] if key == "steps" else ["preview.sample.steps=6"]
    options = load(None, [*words, *model], TrainConfig).values.preview.sample
    usual = Plain(name, 50 if key == "steps" else 6)
    acted = rule_of(options, SD).times != rule_of(usual, SD).times
    assert acted or key == "eta"


def test_a_key_that_the_files_sampler_does_not_read_is_refused_by_name():
    file = SchedulerFile({"_class_name": "EulerDiscreteScheduler"}, "the/file.json")
    found = dataclasses.replace(SD, sampler="euler", file=file)
    with pytest.raises(
        ConfigError, match="sample.eta is 0.5, but sampling is by euler, as the/file"
    ):
        count_steps(SampleOptions(eta=0.5), found)


SPACED = [name for name in SAMPLERS if "spacing" in sampler(name).keys and name != "ddpm"]


@pytest.mark.parametrize("name", SPACED)
def test_spacing_acts_with_every_sampler(name):
    times = [rule_of(Plain(name, 10, spacing=s), SD).times for s in ("trailing", "leading")]
    calls = {"pndm": 11, **dict.fromkeys(TWICE, 19)}.get(name, 10)
    assert times[0] != times[1] and len(times[0]) == calls


def test_dynamic_thresholds_are_for_pixels():
    options = Plain("ddim", 4, dynamic_threshold=0.9)
    with pytest.raises(ConfigError, match="dynamic_threshold is 0.9; it is for networks of pixels"):
        count_steps(options, SD)
    pixels = Noising(cosine(50), bound=1.0)
    out = sample(options, lambda x, t: 5 * x, X, pixels, noise=None)
    assert np.abs(out).max() <= 1


@pytest.mark.parametrize("name", ["euler", "dpm_solver"])
def test_only_a_level_without_signal_is_lifted(name):
    """A cosine ends with 2.4e-10 of signal, below 2^-24, and stays as it is."""
    low = rule_of(Plain(name, 5, spacing="trailing"), Noising(cosine())).levels[0]
    assert low.alpha**2 == pytest.approx(2.4287669e-10, rel=1e-6)
    none = Noising(zero_terminal_snr(scaled_linear()), "v")
    assert rule_of(Plain(name, 5, spacing="trailing"), none).levels[0].alpha == 2.0**-12


def test_a_start_that_is_not_pure_noise_is_left_at_its_level():
    seen, part = [], SD.below(0.4)

    def model(x, t):
        seen.append(x)
        return calm(x, t)

    for pure in (True, False):
        options = Plain("euler", 4, spacing="trailing")
        sample(options, model, X, part, noise=None, pure_noise=pure)
    level = rule_of(Plain("euler", 4, spacing="trailing"), part).levels[0]
    np.testing.assert_allclose(seen[0], X * np.float32(level.sigma), rtol=1e-6)
    np.testing.assert_array_equal(seen[4], X)


@pytest.mark.parametrize("name", SAMPLERS)
@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("clipped", [False, True])
def test_a_prediction_that_is_not_finite_is_named_with_step_timestep_and_frames(name, bad, clipped):
    visited = []

    def model(x, t):
        visited.append(t[0])
        out = calm(x, t)
        if len(visited) == 3:
            out[1, :, [2, 3, 6], 0, 0] = bad
        return out

    found = Noising(scaled_linear(), bound=1.0 if clipped else None)
    rows = [Row("video-000"), Row("video-001", range(100, 108))]
    spacing = "trailing" if name in SPACED else ""
    options = Plain(name, steps=5, spacing=spacing)
    with pytest.raises(NotFiniteError) as caught:
        sample(options, model, X, found, noise=noise, rows=rows)
    assert len(visited) == 3
    calls = {"ddpm": 1000, "pndm": 6, **dict.fromkeys(TWICE, 9)}.get(name, 5)
    where = f"step 3 of {calls} (timestep {visited[2]:g}), in video-001, frames 102-103, 106 ("
    assert where in str(caught.value)


def test_a_sample_that_overflows_is_named():
    with pytest.raises(NotFiniteError, match="The sample is not finite at the end of step 1 of 2"):
        sample(Plain("ddim", 2), lambda x, t: np.full_like(x, 3e38), X, SD, noise=None)


def test_an_inversion_that_is_not_finite_is_named():
    with pytest.raises(NotFiniteError, match="step 1 of 4 of the inversion.*in the source, frames"):
        invert_ddim(lambda x, t: x * np.nan, X[:1], SD.schedule, 4, rows=[Row("the source")])


def test_many_rows_are_not_all_listed_and_finite_numbers_pass():
    check_finite(X, "x")
    with pytest.raises(NotFiniteError, match="row 0; row 1; row 2; row 3 and 5 more"):
        check_finite(np.full((9, 2), np.nan, np.float32), "x")
    assert frames_text([3]) == "frame 3" and frames_text([0, 1, 2, 5]) == "frames 0-2, 5"
