"""The training loss: noise a clip to its timestep, ask the network, compare with the target."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from mindspore import Tensor, nn, ops
from mindspore import dtype as mstype

from mindlong.diffusion.parameterise import add_noise, check_prediction, target
from mindlong.utils.errors import ConfigError, did_you_mean

if TYPE_CHECKING:
    from mindlong.diffusion.schedules import Schedule


def min_snr_weights(schedule: Schedule, prediction: str, gamma: float = 5.0) -> np.ndarray:
    """Min-SNR-gamma loss weights by timestep, (T,) float64 (arXiv 2303.09556): min(SNR, gamma) as a
    weight on the error of x0.
    """
    divisor = {"eps": schedule.snr, "v": schedule.snr + 1.0, "x0": np.ones(schedule.timesteps)}[
        check_prediction(prediction)
    ]
    with np.errstate(divide="ignore", invalid="ignore"):
        weights = np.minimum(schedule.snr, gamma) / divisor
    return np.where(
        schedule.snr > 0, weights, 1.0 if prediction == "eps" else 0.0
    )  # the limit where there is no signal


class L1(nn.Cell):
    """Mean absolute error of each row; (B, ...) -> (B,) float32."""

    def construct(self, prediction, goal):
        return ops.abs(prediction - goal).reshape(prediction.shape[0], -1).mean(-1)


class L2(nn.Cell):
    """Mean squared error of each row; (B, ...) -> (B,) float32."""

    def construct(self, prediction, goal):
        return ops.square(prediction - goal).reshape(prediction.shape[0], -1).mean(-1)


DISTANCES: dict[str, type[nn.Cell]] = {"l1": L1, "l2": L2}


class DiffusionLoss(nn.Cell):
    """Mean distance between what `network(x_t, t, *conditions)` says and the target, as one float32
    scalar.

    Inputs of construct: `x0` (B, C, F, H, W) float32 in [-1, 1] (or scaled latents), `noise` of the
    same shape, `t` (B,) int32 in [0, T), then whatever the network takes besides. The mean over a
    batch equals the mean of the means of its parts, so accumulation over equal micro-batches
    changes nothing. `weights` (T,) multiplies each row's loss by its timestep's weight.
    Source: the simple loss of arXiv 2006.11239; L1 as Video Diffusion Models' code defaults to.
    """

    def __init__(
        self,
        network: nn.Cell,
        schedule: Schedule,
        prediction: str = "eps",
        loss: str = "l2",
        weights: np.ndarray | None = None,
    ):
        super().__init__(auto_prefix=False)  # the network's parameters keep their names
        if loss not in DISTANCES:
            raise ConfigError(
                f"loss is {loss!r}; it must be l1 or l2.{did_you_mean(loss, DISTANCES)}"
            )
        self.network, self.distance, self.prediction = (
            network,
            DISTANCES[loss](),
            check_prediction(prediction),
        )
        count = schedule.timesteps
        scale = np.ones(count) if schedule.signal_scale is None else schedule.signal_scale[:count]
        self.alpha = _table(np.sqrt(schedule.alphas_cumprod))
        self.sigma = _table(np.sqrt(1.0 - schedule.alphas_cumprod))
        self.scale = _table(scale)
        self.weights = _table(np.ones(count) if weights is None else weights)

    def construct(self, x0, noise, t, *conditions):
        axes = (-1,) + (1,) * (x0.ndim - 1)
        alpha, sigma = self.alpha[t].reshape(axes), self.sigma[t].reshape(axes)
        signal = x0 * self.scale[t].reshape(axes)
        prediction = self.network(add_noise(signal, noise, alpha, sigma), t, *conditions).astype(
            mstype.float32
        )
        # a network that predicts x0 predicts the scaled signal, so that every parameterisation
        # speaks of the same quantity
        goal = target(self.prediction, signal, noise, alpha, sigma)
        return (self.distance(prediction, goal) * self.weights[t]).mean()


def loss_of(
    network: nn.Cell,
    schedule: Schedule,
    options: Any,
    kind: type[DiffusionLoss] = DiffusionLoss,
) -> DiffusionLoss:
    """The loss that a configuration's section `diffusion` describes: prediction, distance and
    Min-SNR weights.
    """
    weights = None
    if options.min_snr:
        weights = min_snr_weights(schedule, options.prediction, options.min_snr)
    return kind(network, schedule, options.prediction, options.loss, weights)


def _table(values: np.ndarray) -> Tensor:
    return Tensor(np.asarray(values, np.float32))
