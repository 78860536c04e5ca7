"""DynamiCrafter against its own source: UNet and Resampler forward and backward, schedule, sampler,
preprocessing of the image.

The arrays are made by tools/golden/dynamicrafter.py.
"""

import dynamicrafter_cases as cases
import mindspore as ms
import numpy as np
import pytest
import unet_cases
import unet_measure as measure
from dynamicrafter_measure import (
    check_gradients,
    check_resampler,
    exact,
    given,
    golden,
    noising_of,
    ran,
    ran_closed,
)
from mindspore import Tensor

from mindlong.diffusion.sample import Plain, rule_of, sample
from mindlong.networks.clip.squash import squashed
from mindlong.networks.unet.families import FAMILIES

FORWARD, GRADIENT, NOISE, RUN, GUIDED = 1e-5, 3e-4, 1e-6, 1e-6, 5e-4


@pytest.fixture(autouse=True)
def graph_mode():
    ms.set_context(mode=ms.GRAPH_MODE)


@pytest.fixture(scope="module")
def plain():
    return measure.network(cases.CASES["dynamicrafter_plain"])


def test_output_equals_the_originals(plain):
    case = cases.CASES["dynamicrafter_plain"]
    want = measure.golden(case)["out"]
    assert unet_cases.relative(plain(*given(case)).asnumpy(), want) <= FORWARD


@pytest.mark.parametrize(
    "name",
    ["dynamicrafter_gated", "dynamicrafter_shared", "dynamicrafter_gated_f16"],
)
@pytest.mark.slow
def test_output_of_the_other_forms_equals_the_originals(name):
    case = cases.CASES[name]
    out = measure.network(case)(*given(case)).asnumpy()
    assert unet_cases.relative(out, measure.golden(case)["out"]) <= FORWARD


@pytest.mark.slow
@pytest.mark.parametrize("name", ["dynamicrafter_plain", "dynamicrafter_gated"])
def test_every_gradient_equals_the_originals(name):
    check_gradients(cases.CASES[name], GRADIENT, NOISE)


def _frames_swapped(context):
    context[:, :, cases.TEXT :] = context[:, ::-1, cases.TEXT :]
    return context


def _by_token(context):
    """Image tokens read as (token, frame)."""
    image = context[:, :, cases.TEXT :]
    batch, frames, tokens, width = image.shape
    flat = image.reshape(batch, tokens, frames, width).transpose(0, 2, 1, 3)
    return np.concatenate([context[:, :, : cases.TEXT], flat], 2)


@pytest.mark.parametrize("change", [_frames_swapped, _by_token, "told", "fps"])
def test_a_wrong_input_moves_the_output_by_far_more_than_the_tolerance(plain, change):
    case = cases.CASES["dynamicrafter_plain"]
    x, t, context, fps = (tensor.asnumpy() for tensor in given(case))
    if change == "told":
        x = np.concatenate([x[:, 4:], x[:, :4]], 1)
    elif change == "fps":
        fps = fps[::-1].copy()
    else:
        context = np.ascontiguousarray(change(context.copy()))
    out = plain(*(Tensor(np.ascontiguousarray(a)) for a in (x, t, context, fps))).asnumpy()
    assert unet_cases.relative(out, measure.golden(case)["out"]) > 100 * FORWARD


def test_the_resamplers_output_and_gradients_equal_the_originals():
    check_resampler(cases.RESAMPLER, golden("dynamicrafter_resampler"), FORWARD, GRADIENT)


@pytest.mark.parametrize(
    ("size", "total", "first", "middle", "last"),
    [
        ((320, 512), 146.819746, -0.321603, -0.138980, -0.666557),
        ((256, 256), 252.157117, -0.847383, -0.854846, 0.345115),
        ((100, 90), -559.685729, -0.847383, 0.111794, 0.312605),
    ],
)
def test_an_image_is_blurred_and_squashed_as_kornia_does(size, total, first, middle, last):
    """Values of kornia 0.9.0's resize(224, bicubic, align_corners=True, antialias=True)."""
    out = squashed(np.random.RandomState(7).uniform(-1, 1, (1, 3, *size)), 224)
    assert abs(out.sum() - total) < 1e-4
    found = [out[0, 0, 0, 0], out[0, 2, 100, 50], out[0, 1, 223, 223]]
    np.testing.assert_allclose(found, [first, middle, last], atol=1e-6)


def test_the_schedules_tables_equal_the_originals():
    want, ours = golden("dynamicrafter_schedule"), noising_of("dynamicrafter_interp").schedule
    for key in ("betas", "alphas_cumprod", "sqrt_alphas_cumprod", "sqrt_one_minus_alphas_cumprod"):
        np.testing.assert_allclose(ours.table(key), want[key], rtol=2e-6, atol=1e-9)
    assert ours.alphas_cumprod[999] == 0
    np.testing.assert_allclose(ours.signal_scale, want["scale_arr"], rtol=1e-6)


@pytest.mark.parametrize("name", cases.RUNS)
def test_a_run_of_the_sampler_equals_the_originals(name):
    run, want = cases.RUNS[name], golden("dynamicrafter_runs")[name]
    found, end = ran_closed(run)
    assert len(found) == len(want) - 1
    assert unet_cases.relative(end, want[-1]) <= (2 * RUN if name == "interp_50" else RUN)


def test_fifty_guided_steps_are_nearer_the_exact_answer_than_the_originals():
    """The original's tables are float32, in which sqrt(1 - a) of a small noise has few digits."""
    run, want = cases.RUNS["interp_50"], golden("dynamicrafter_runs")["interp_50"][-1]
    ideal, (_, end) = exact(run), ran_closed(run)
    ours, theirs = (unet_cases.relative(found, ideal) for found in (end, want))
    assert ours <= RUN < theirs <= 2 * RUN


def test_a_guided_run_through_the_network_equals_the_originals(plain):
    case, want = cases.CASES["dynamicrafter_plain"], golden("dynamicrafter_runs")["unet"]
    x, _, context, fps = (tensor.asnumpy() for tensor in given(case))
    other = case.by_frame(np.ascontiguousarray(case.inputs()["context"][:, ::-1]))

    def model(states):
        def run(noisy, t):
            both = np.concatenate([noisy, x[:, 4:]], 1).astype(np.float32)
            return plain(*map(Tensor, (both, t, states, fps))).asnumpy()

        return run

    _, end = ran(cases.UNET_RUN, [model(context), None, model(other)], x[:, :4])
    assert unet_cases.relative(end, want[-1]) <= GUIDED


@pytest.mark.parametrize("name", [n for n, f in FAMILIES.items() if f.zero_snr])
@pytest.mark.parametrize("flavour", ["", "dynamicrafter"])
def test_a_run_starts_at_the_timestep_that_is_pure_noise(name, flavour):
    noising = noising_of(name)
    times = rule_of(Plain(steps=10, flavour=flavour), noising).times
    assert times[0] == 999 and noising.schedule.level(999).alpha == 0


def test_the_usual_flavour_ends_in_the_clean_sample_and_the_originals_keeps_its_factor():
    noising = noising_of("dynamicrafter_interp")
    x_T = cases.start()

    def ideal(x, t):  # v of a network that knows: every clean sample is one
        level = noising.schedule.level(int(t[0]))
        eps = (x - level.signal) / np.float32(level.sigma)
        return level.alpha * eps - level.sigma * level.signal_scale

    usual, parity = (
        sample(Plain(steps=10, flavour=flavour), ideal, x_T, noising, noise=None)
        for flavour in ("", "dynamicrafter")
    )
    np.testing.assert_allclose(usual, 1.0, atol=1e-4)
    lowest = noising.schedule.level(99)
    assert lowest.signal_scale == pytest.approx(0.926, abs=1e-3)
    assert parity.mean() == pytest.approx(lowest.signal_scale, abs=0.01)
