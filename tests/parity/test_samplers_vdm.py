"""Schedule, pointwise formulas, losses and sampling against video-diffusion-pytorch 0.7.0 (golden
arrays of its own code).
"""

from pathlib import Path

import mindspore as ms
import numpy as np
import pytest
from mindspore import nn

from mindlong.diffusion.interpolation import interpolate
from mindlong.diffusion.losses import DiffusionLoss
from mindlong.diffusion.noising import Noising
from mindlong.diffusion.parameterise import add_noise, x0_from_eps
from mindlong.diffusion.samplers import sampler
from mindlong.diffusion.samplers.ddpm import posterior
from mindlong.diffusion.schedules import CLEAN, cosine
from mindlong.diffusion.thresholding import dynamic_threshold, static_threshold

FOLDER = Path(__file__).parents[1] / "golden"
PERCENTILES = (0.5, 0.9, 1.0)


def toy(x, t):
    """The closed form that tools/golden/diffusion.py put in place of a network."""
    t = np.asarray(t, np.float32).reshape(-1, *[1] * (x.ndim - 1))
    return (0.6 * np.tanh(x) + 0.2 * np.sin(t / 150.0)).astype(np.float32)


class Toy(nn.Cell):
    """`toy` as a cell."""

    def construct(self, x, t):
        t = t.astype(ms.float32).reshape(-1, 1, 1, 1, 1)
        return 0.6 * ms.ops.tanh(x) + 0.2 * ms.ops.sin(t / 150.0)


@pytest.fixture(scope="module")
def golden():
    with np.load(FOLDER / "diffusion_vdm.npz") as arrays:
        return dict(arrays)


@pytest.mark.parametrize("timesteps", [1, 2, 10, 1000, 4000])
def test_all_twelve_buffers_are_the_originals_bits(timesteps):
    with np.load(FOLDER / "diffusion_schedules.npz") as arrays:
        want = {
            name.split("/")[1]: arrays[name] for name in arrays if name.startswith(f"{timesteps}/")
        }
    schedule = cosine(timesteps)
    assert set(want) == set(schedule.tables)
    for name, array in want.items():
        np.testing.assert_array_equal(schedule.table(name), array, err_msg=name)


def close(ours, want):
    np.testing.assert_allclose(ours, want, rtol=0, atol=1e-6 * max(1.0, np.abs(want).max()))


@pytest.mark.parametrize("t", [0, 1, 999])
def test_noising_and_its_inverse(t, golden):
    level = cosine().level(t)
    close(
        add_noise(golden["x0"], golden["noise"], level.alpha, level.sigma), golden[f"{t}/q_sample"]
    )
    close(
        x0_from_eps(golden["x"], golden["noise"], level.alpha, level.sigma),
        golden[f"{t}/predict_start"],
    )


@pytest.mark.parametrize("t", [0, 1, 999])
def test_posterior_of_one_step(t, golden):
    schedule = cosine()
    of_x0, of_x, spread = posterior(schedule.level(t), schedule.level(t - 1))
    close(of_x0 * golden["x0"] + of_x * golden["x"], golden[f"{t}/q_posterior"])
    np.testing.assert_allclose(spread**2, golden[f"{t}/posterior_variance"].ravel()[0], rtol=1e-6)


@pytest.mark.parametrize("t", [0, 1, 999])
@pytest.mark.parametrize("clip", ["static", *PERCENTILES])
def test_predicted_mean_with_thresholding(t, clip, golden):
    """One step without noise is the mean of the original's p_mean_variance."""
    schedule, x = cosine(), golden["x"]
    level, previous = schedule.level(t), schedule.level(t - 1) if t else CLEAN
    of_x0, of_x, _ = posterior(level, previous)
    x0 = x0_from_eps(x, toy(x, np.full(2, t)), level.alpha, level.sigma)
    threshold = static_threshold() if clip == "static" else dynamic_threshold(clip)
    want = golden[f"{t}/static" if clip == "static" else f"{t}/dynamic{clip}"]
    close(of_x0 * threshold(x0) + of_x * x, want)


@pytest.mark.parametrize("kind", ["l1", "l2"])
def test_training_loss(kind, golden):
    loss = DiffusionLoss(Toy(), cosine(), "eps", kind)
    ours = loss(
        ms.Tensor(golden["x0"]), ms.Tensor(golden["noise"]), ms.Tensor(np.array([3, 700], np.int32))
    )
    np.testing.assert_allclose(ours.asnumpy(), golden[f"loss/{kind}"], rtol=2e-6)


@pytest.mark.parametrize(
    "name, timesteps, clip",
    [("sample50", 50, static_threshold()), ("sample10_dynamic", 10, dynamic_threshold(0.9))],
)
def test_whole_sampling_on_a_noise_tape(name, timesteps, clip, golden):
    out = sampler("ddpm")(
        toy, golden["x"], cosine(timesteps), noise=lambda i: golden["tape"][i], clip=clip
    )
    np.testing.assert_allclose((out + 1) / 2, golden[name], rtol=0, atol=1e-5)


def test_interpolation_between_two_videos(golden):
    videos = golden["x0"], np.tanh(golden["x"])
    out = interpolate(
        toy,
        *videos,
        Noising(cosine(20), bound=1.0),
        tuple(golden["pair"]),
        noise=lambda i: golden["tape"][i],
        t=12,
        mix=0.3,
        compat=True,
    )
    np.testing.assert_allclose(out, golden["interpolated"], rtol=0, atol=1e-5)
