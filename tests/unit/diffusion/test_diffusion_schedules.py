"""Schedules, parameterisations and thresholding: published figures and identities."""

import numpy as np
import pytest

from mindlong.diffusion import parameterise as P
from mindlong.diffusion import schedules as S
from mindlong.diffusion.guidance import combine, guided, guided_batched
from mindlong.diffusion.thresholding import dynamic_threshold, static_threshold
from mindlong.utils.errors import ConfigError


def drawn(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape, dtype=np.float32)


def test_published_values_of_the_cosine_schedule():
    schedule = S.cosine(1000)
    np.testing.assert_allclose(
        schedule.betas[[0, 1, 500, 999]],
        [4.128422e-05, 4.614175e-05, 3.1556915e-03, 0.9999],
        rtol=1e-6,
    )
    np.testing.assert_allclose(schedule.alphas_cumprod[999], 2.4287669e-10, rtol=1e-6)
    np.testing.assert_allclose(
        schedule.tables["sqrt_recip_alphas_cumprod"][999], 64166.3, rtol=1e-6
    )


def test_published_values_of_stable_diffusions_schedule():
    schedule = S.make("scaled_linear")
    want = [0.99915, 0.99829603, 0.27633268, 0.00466009851]
    np.testing.assert_allclose(schedule.alphas_cumprod[[0, 1, 500, 999]], want, rtol=1e-7)


def test_videocrafters_scale_is_stored_longer_than_it_is_read():
    scale = S.videocrafter_scale()
    assert len(scale) == 1400 and scale[0] == 1 and scale[399] == 0.7 and scale[1399] == 0.7
    assert S.scaled_linear().with_signal_scale(scale).level(999).signal_scale == 0.7


def test_zero_terminal_snr_ends_in_pure_noise_and_keeps_the_start():
    plain, rescaled = S.scaled_linear(), S.zero_terminal_snr(S.scaled_linear())
    assert rescaled.alphas_cumprod[-1] == 0
    np.testing.assert_allclose(rescaled.alphas_cumprod[0], plain.alphas_cumprod[0], rtol=1e-12)
    assert np.isfinite(rescaled.level(999).alpha)


@pytest.mark.parametrize(
    "make",
    [
        lambda: S.cosine(0),
        lambda: S.make("cosin"),
        lambda: S.cosine(10).level(10),
        lambda: S.cosine(10).table("beta"),
        lambda: S.Schedule(np.array([0.1, 1.5])),
        lambda: S.cosine(10).with_signal_scale(np.ones(9)),
        lambda: S.zero_terminal_snr(S.cosine(1)),
    ],
)
def test_an_impossible_schedule_is_refused(make):
    with pytest.raises(ConfigError):
        make()


@pytest.mark.parametrize("prediction", P.PREDICTIONS)
def test_every_prediction_gives_back_the_truth(prediction):
    x0, eps, level = drawn(2, 3), drawn(2, 3, seed=1), S.cosine().level(400)
    x = P.add_noise(x0, eps, level.alpha, level.sigma)
    out = P.target(prediction, x0, eps, level.alpha, level.sigma)
    np.testing.assert_allclose(P.to_x0(prediction, x, out, level.alpha, level.sigma), x0, atol=1e-6)
    np.testing.assert_allclose(
        P.to_eps(prediction, x, out, level.alpha, level.sigma), eps, atol=1e-6
    )


def test_dynamic_threshold_cuts_each_row_at_its_own_quantile():
    x0 = np.stack([np.linspace(-4, 4, 101), np.linspace(-0.5, 0.5, 101)]).astype(np.float32)
    out = dynamic_threshold(0.9)(x0)
    np.testing.assert_allclose(
        out[0], np.clip(x0[0] / np.quantile(np.abs(x0[0]), 0.9), -1, 1), atol=1e-6
    )
    np.testing.assert_array_equal(out[1], x0[1])  # already in range: nothing is stretched
    assert out.dtype == np.float32


@pytest.mark.slow
def test_dynamic_threshold_takes_rows_beyond_torchs_limit_of_2_to_the_24():
    x0 = np.linspace(-3, 3, 2**24 + 3, dtype=np.float32)[None]
    np.testing.assert_allclose(dynamic_threshold(0.5)(x0).max(), 1.0, atol=1e-6)
    assert np.mean(np.abs(dynamic_threshold(0.5)(x0)) == 1) == pytest.approx(0.5, abs=1e-3)


def test_dynamic_threshold_has_a_ceiling_and_refuses_nonsense():
    np.testing.assert_allclose(
        dynamic_threshold(1.0, maximum=2.0)(np.array([[8.0, 1.0]])), [[1.0, 0.5]]
    )
    np.testing.assert_array_equal(static_threshold(0.5)(np.array([-2.0, 0.1])), [-0.5, 0.1])
    with pytest.raises(ConfigError):
        dynamic_threshold(90)


def test_guidance_in_one_pass_equals_two_passes():
    x, t = drawn(2, 4), np.array([1, 1])
    conditional, null = (lambda x, t: x * 2 + t[:, None]), (lambda x, t: x - 1)

    def both(x, t):
        return np.concatenate([null(x[:2], t[:2]), conditional(x[2:], t[2:])])

    np.testing.assert_allclose(
        guided_batched(both, 7.5)(x, t), guided(conditional, null, 7.5)(x, t)
    )
    np.testing.assert_allclose(guided(conditional, null, 0.0)(x, t), null(x, t))


def test_guidance_of_one_never_runs_the_null_model():
    def null(x, t):
        raise AssertionError("the null model ran")

    assert guided(lambda x, t: x, null, 1.0)(drawn(1, 2), np.array([0])).shape == (1, 2)


def test_rescaled_guidance_has_the_conditionals_spread():
    conditional, null = drawn(2, 50), drawn(2, 50, seed=1)
    out = combine(conditional, null, 9.0, rescale=1.0)
    np.testing.assert_allclose(out.std(1), conditional.std(1), rtol=1e-5)


def test_a_shift_draws_noisy_timesteps_oftener_and_none_is_uniform():
    from mindlong.diffusion.timesteps import draw_timestep
    from mindlong.utils.rng import generator

    plain, shifted = (
        np.array([draw_timestep(generator(0, "t", i), 1000, shift) for i in range(2000)])
        for shift in (1.0, 3.0)
    )
    assert plain.min() >= 0 and shifted.max() < 1000
    assert abs((plain >= 900).mean() - 0.1) < 0.03  # u' > 0.9 where u > 0.9 / (3 - 2 * 0.9) = 0.75
    assert abs((shifted >= 900).mean() - 0.25) < 0.04
    assert plain[0] == generator(0, "t", 0).integers(1000)


def test_a_configuration_may_ask_for_pure_noise_at_the_end():
    from mindlong.config.diffusion_options import DiffusionOptions
    from mindlong.diffusion.schedules import of_options

    plain = of_options(DiffusionOptions(schedule="scaled_linear"))
    stretched = of_options(DiffusionOptions(schedule="scaled_linear", zero_terminal_snr=True))
    assert plain.alphas_cumprod[-1] > 0.004 and stretched.alphas_cumprod[-1] == 0
