"""Promises of the samplers: published timestep lists and figures, one signature, early stop, no
needless noise, clear errors.
"""

import numpy as np
import pytest

from mindlong.diffusion.interpolation import interpolate
from mindlong.diffusion.inversion import invert_ddim
from mindlong.diffusion.noising import Noising
from mindlong.diffusion.samplers import FLAVOURS, SAMPLERS, DdimFlavour, sampler
from mindlong.diffusion.samplers.ddim import move, spread_of
from mindlong.diffusion.samplers.spacing import SPACINGS, times_of, with_end_dropped
from mindlong.diffusion.schedules import (
    cosine,
    scaled_linear,
    videocrafter_scale,
    zero_terminal_snr,
)
from mindlong.diffusion.thresholding import static_threshold
from mindlong.utils.errors import ConfigError

SD = scaled_linear()
ddim, ddpm = sampler("ddim"), sampler("ddpm")
CENTRE = np.linspace(-1, 1, 24, dtype=np.float32).reshape(1, 2, 3, 4)


def drawn(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape, dtype=np.float32)


def noise(step):
    return drawn(1, 2, 3, 4, seed=100 + step)


def perfect(schedule, prediction="eps", spread=0.3):
    """The best possible network where clean samples are CENTRE plus `spread` times normal noise."""

    def model(x, t):
        level = schedule.level(int(t[0]))
        variance = level.signal**2 * spread**2 + level.sigma**2
        eps = level.sigma * (x - level.signal * CENTRE) / variance
        x0 = CENTRE + level.signal * spread**2 * (x - level.signal * CENTRE) / variance
        x0 = level.signal_scale * x0
        return {"eps": eps, "x0": x0, "v": level.alpha * eps - level.sigma * x0}[prediction]

    return model


@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize(
    "timesteps, steps",
    [(1, 1), (2, 2), (10, 7), (50, 50), (1000, 1), (1000, 37), (1000, 999), (1000, 1000)],
)
def test_any_number_of_steps_descends_strictly_within_the_schedule(spacing, timesteps, steps):
    times = times_of(spacing, timesteps, steps)
    assert all(a > b for a, b in zip(times, times[1:], strict=False)) or spacing == "modelscope"
    assert times[-1] >= 0 and times[0] < timesteps
    assert len(times) == steps or spacing == "modelscope"


@pytest.mark.parametrize(
    "steps, count, first", [(50, 50, 981), (20, 20, 951), (30, 31, 991), (60, 63, 993), (7, 8, 995)]
)
def test_modelscope_and_videocrafter_lists(steps, count, first):
    times = FLAVOURS["modelscope"].times(1000, steps)
    assert (len(times), times[0], times[-1]) == (count, first, 1)


def test_dpm_solver_lists():
    want = [
        999,
        966,
        932,
        899,
        866,
        832,
        799,
        766,
        733,
        699,
        666,
        633,
        599,
        566,
        533,
        499,
        466,
        433,
        400,
        366,
        333,
        300,
        266,
        233,
        200,
        166,
        133,
        100,
        67,
        33,
    ]
    assert with_end_dropped("linspace", 1000, 30) == want
    assert (
        with_end_dropped("linspace", 1000, 25)[:2] == [999, 959]
        and with_end_dropped("linspace", 1000, 25)[-1] == 40
    )


def test_one_videocrafter_step_with_dynamic_scale():
    schedule = SD.with_signal_scale(videocrafter_scale())
    level, after = schedule.level(501), schedule.level(481)
    x0 = (0.5 - level.sigma * 0.25) / level.signal
    spread = spread_of(level, after)
    np.testing.assert_allclose(x0, 0.7822016950711643, rtol=1e-12)
    np.testing.assert_allclose(
        move(x0, 0.25, after, spread) - 0.75 * spread, 0.27534278011943814, rtol=1e-12
    )


def test_published_trajectory_of_the_stochastic_dpm_solver():
    seen = []

    def model(x, t):
        seen.append(x.item())
        return np.full_like(x, 0.25)

    end = sampler("dpm_solver_sde")(
        model, np.full((1, 1), 0.5), SD, 4, noise=lambda i: np.full((1, 1), 0.1 * (i + 1))
    )
    np.testing.assert_allclose(
        [*seen[1:], end.item()], [1.034559, 1.934362, 2.888659, 3.345163], rtol=1e-6
    )


ENDS_AT_FIRST = ("deis", "pndm", "tcd")  # whose last step leads to timestep 0, as published


@pytest.mark.parametrize("name", SAMPLERS)
@pytest.mark.parametrize("prediction", ["eps", "v", "x0"])
@pytest.mark.parametrize("scaled", [False, True])
def test_every_sampler_finds_the_data_of_a_perfect_network(name, prediction, scaled):
    schedule = SD.with_signal_scale(videocrafter_scale()) if scaled else SD
    model = perfect(schedule, prediction, spread=1e-3)
    out = sampler(name)(model, noise(99), schedule, 40, noise=noise, prediction=prediction)
    left = 3 * schedule.level(0).sigma if name in ENDS_AT_FIRST else 0.02
    np.testing.assert_allclose(out, CENTRE, atol=left)


@pytest.mark.parametrize("name", SAMPLERS)
def test_callback_counts_and_stops(name):
    seen = []

    def callback(step, total, x0):
        seen.append((step, total))
        return x0 if step == 3 else None

    out = sampler(name)(
        perfect(SD), noise(99), SD, 8, noise=noise, callback=lambda *a: callback(*a) is not None
    )
    calls = {"heun": 15, "kdpm2": 15, "kdpm2_ancestral": 15, "pndm": 9}.get(name, 8)
    assert seen == [(1, calls), (2, calls), (3, calls)] and out.shape == CENTRE.shape


def test_ddim_with_eta_1_over_all_timesteps_is_ddpm():
    schedule, clip = cosine(30), static_threshold()
    runs = [
        ddim(perfect(schedule), noise(99), schedule, 30, eta=1.0, noise=noise, clip=clip),
        ddpm(perfect(schedule), noise(99), schedule, noise=noise, clip=clip),
    ]
    np.testing.assert_allclose(*runs, atol=1e-5)


def test_clipped_pixel_samples_stay_in_range_from_a_schedule_without_signal():
    schedule = cosine(1000)
    out = ddim(lambda x, t: x * 0.9, noise(99), schedule, 10, clip=static_threshold())
    assert np.isfinite(out).all() and np.abs(out).max() <= 1


def test_zero_terminal_snr_samples_with_v_and_refuses_eps():
    schedule = zero_terminal_snr(SD)
    out = ddim(perfect(schedule, "v", 1e-3), noise(99), schedule, 40, prediction="v")
    np.testing.assert_allclose(out, CENTRE, atol=0.02)
    with pytest.raises(ConfigError, match="no signal"):
        ddim(lambda x, t: x, noise(99), schedule, 10)


def test_noise_is_asked_for_only_where_it_is_added():
    asked = []

    def recorded(i):
        return (asked.append(i), noise(i))[1]

    ddim(perfect(SD), noise(99), SD, 5, eta=0.0, noise=recorded)
    assert asked == []
    ddpm(perfect(SD), noise(99), SD, 5, noise=recorded)
    assert asked == [0, 1, 2, 3]


def test_noise_may_be_shared_by_all_frames():
    def shared(i):
        return noise(i)[:, :, :1]

    def spread_out(i):
        return np.broadcast_to(shared(i), CENTRE.shape)

    runs = [ddim(perfect(SD), noise(99), SD, 5, eta=1.0, noise=n) for n in (shared, spread_out)]
    np.testing.assert_array_equal(*runs)


@pytest.mark.parametrize(
    "options, word",
    [
        ({"steps": 1001}, "1001"),
        ({"steps": 0}, "steps is 0"),
        ({"eta": 1.5}, "eta"),
        ({"eta": 1.0}, "no noise"),
        ({"prediction": "epsilon"}, "eps"),
        ({"flavour": "diffuser"}, "diffusers"),
        ({"times": [1, 5]}, "descending"),
        ({"eta": 1.0, "noise": lambda i: np.zeros(7)}, "broadcast"),
        ({"flavour": DdimFlavour("leadin")}, "leading"),
    ],
)
def test_a_wrong_argument_is_one_clear_sentence(options, word):
    with pytest.raises(ConfigError, match=word):
        ddim(perfect(SD), noise(99), SD, **options)


def test_a_model_of_the_wrong_shape_and_an_unknown_sampler_are_named():
    with pytest.raises(ConfigError, match="shape"):
        ddim(lambda x, t: x[:, :1], noise(99), SD, 2)
    with pytest.raises(ConfigError, match="ddim"):
        sampler("dim")


@pytest.mark.parametrize("prediction", ["eps", "v"])
def test_inverted_noise_leads_back_to_the_sample(prediction):
    model, x0 = perfect(SD, prediction), CENTRE + 0.3 * noise(1)
    path = invert_ddim(model, x0, SD, 50, prediction=prediction, refine=4)
    back = ddim(model, path[-1], SD, 50, flavour="diffusers", prediction=prediction)
    np.testing.assert_allclose(back, x0, atol=2e-3)
    assert len(path) == 51 and path[0] is not path[1]


def test_inversion_of_v_is_noise_and_the_compat_form_is_not():
    model, x0 = perfect(SD, "v"), CENTRE + 0.3 * noise(1)

    def correlation(a, b):
        return np.corrcoef(a.ravel(), b.ravel())[0, 1]

    assert correlation(invert_ddim(model, x0, SD, 50, prediction="v")[-1], x0 - CENTRE) > 0.98
    assert correlation(invert_ddim(model, x0, SD, 50, prediction="v", compat=True)[-1], x0) < -0.7


def test_inversion_stops_on_request_and_refuses_a_negative_refine():
    assert (
        len(invert_ddim(perfect(SD), CENTRE, SD, 10, callback=lambda step, total, x: step == 4))
        == 5
    )
    with pytest.raises(ConfigError):
        invert_ddim(perfect(SD), CENTRE, SD, 10, refine=-1)


def test_interpolation_of_a_video_with_itself_keeps_it():
    schedule, video = cosine(50), np.clip(CENTRE, -0.9, 0.9)
    out = interpolate(
        perfect(schedule, spread=1e-3),
        video,
        video,
        Noising(schedule, bound=1.0),
        (noise(1), noise(1)),
        noise=noise,
        t=20,
    )
    np.testing.assert_allclose(out, CENTRE, atol=0.02)
    with pytest.raises(ConfigError):
        interpolate(
            perfect(schedule),
            video,
            video,
            Noising(schedule),
            (noise(1), noise(2)),
            noise=noise,
            t=50,
        )
