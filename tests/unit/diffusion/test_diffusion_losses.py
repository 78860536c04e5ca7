"""The training loss: what it compares, how it weighs, and that gradients reach the network under
its own names.
"""

import mindspore as ms
import numpy as np
import pytest
from mindspore import nn

from mindlong.diffusion.losses import DiffusionLoss, min_snr_weights
from mindlong.diffusion.parameterise import add_noise, target
from mindlong.diffusion.schedules import cosine, scaled_linear, videocrafter_scale
from mindlong.utils.errors import ConfigError

SHAPE = (2, 3, 2, 4, 4)
TIMES = np.array([3, 900], np.int32)


class Scale(nn.Cell):
    """x * weight + condition."""

    def __init__(self):
        super().__init__()
        self.weight = ms.Parameter(ms.Tensor(0.5, ms.float32))

    def construct(self, x, t, condition):
        return x * self.weight + condition.reshape(-1, 1, 1, 1, 1)


def drawn(seed):
    return np.random.default_rng(seed).standard_normal(SHAPE, dtype=np.float32)


def expected(schedule, prediction, kind, weights):
    """Loss and its derivative with respect to the weight, in numpy."""
    rows, slopes = [], []
    for x0, eps, t, condition in zip(drawn(0), drawn(1), TIMES, (0.0, 1.0), strict=True):
        level = schedule.level(int(t))
        x = add_noise(x0 * level.signal_scale, eps, level.alpha, level.sigma)
        error = (
            x * 0.5
            + condition
            - target(prediction, x0 * level.signal_scale, eps, level.alpha, level.sigma)
        )
        rows.append(weights[t] * np.mean(np.abs(error) if kind == "l1" else error**2))
        slopes.append(weights[t] * np.mean((np.sign(error) if kind == "l1" else 2 * error) * x))
    return np.mean(rows), np.mean(slopes)


@pytest.mark.parametrize("kind", ["l1", "l2"])
@pytest.mark.parametrize("prediction", ["eps", "v", "x0"])
def test_loss_and_gradient_equal_the_formula(prediction, kind):
    schedule = scaled_linear().with_signal_scale(videocrafter_scale())
    weights = min_snr_weights(schedule, prediction)
    network = Scale()
    loss = DiffusionLoss(network, schedule, prediction, kind, weights)
    arrays = [ms.Tensor(a) for a in (drawn(0), drawn(1), TIMES, np.array([0, 1], np.float32))]
    value, (slope,) = ms.value_and_grad(loss, None, network.trainable_params())(*arrays)
    np.testing.assert_allclose(
        [value.asnumpy(), slope.asnumpy()], expected(schedule, prediction, kind, weights), rtol=1e-4
    )
    assert value.dtype == ms.float32
    assert [p.name for p in loss.get_parameters()] == ["weight"]


@pytest.mark.parametrize("prediction", ["eps", "v", "x0"])
def test_min_snr_weighs_the_error_of_x0_alike_in_every_parameterisation(prediction):
    schedule = cosine()
    per_x0_error = {"eps": schedule.snr, "v": schedule.snr + 1, "x0": 1.0}[prediction]
    np.testing.assert_allclose(
        min_snr_weights(schedule, prediction) * per_x0_error, np.minimum(schedule.snr, 5), rtol=1e-9
    )


def test_an_unknown_loss_or_prediction_is_refused_when_the_cell_is_built():
    with pytest.raises(ConfigError, match="l2"):
        DiffusionLoss(Scale(), cosine(), loss="l3")
    with pytest.raises(ConfigError, match="eps"):
        DiffusionLoss(Scale(), cosine(), prediction="noise")
