"""From noise to a clean sample as the `sample` section of a configuration says."""

from __future__ import annotations

from typing import Any

import numpy as np

from mindlong.diffusion.guidance import Model
from mindlong.diffusion.samplers import sampler
from mindlong.diffusion.samplers.loop import Callback, Noise
from mindlong.diffusion.scheduler_config import Noising
from mindlong.diffusion.thresholding import Clip, static_threshold


def denoise(
    options: Any,
    model: Model,
    x_T: np.ndarray,
    noising: Noising,
    *,
    noise: Noise,
    callback: Callback | None = None,
    clip: Clip | None = None,
) -> np.ndarray:
    """Sample with the sampler that `options` names (its fields: sampler, steps, eta, flavour,
    spacing).

    Args:
        model, x_T, noise, callback: as in `mindlong.diffusion.samplers`; guidance is inside
            `model`.
        clip: thresholding of predicted clean samples; None: as `noising.bound` says.

    Raises:
        ConfigError: steps or eta out of their range.
    """
    if clip is None and noising.bound is not None:
        clip = static_threshold(noising.bound)
    arguments: dict[str, Any] = {} if options.sampler == "ddpm" else {"steps": options.steps}
    if options.sampler == "ddim":
        arguments |= {"eta": options.eta, "flavour": options.flavour or noising.flavour}
    elif options.spacing:
        arguments["spacing"] = options.spacing
    return sampler(options.sampler)(
        model,
        x_T,
        noising.schedule,
        noise=noise,
        callback=callback,
        clip=clip,
        prediction=noising.prediction,
        **arguments,
    )


def count_steps(options: Any, noising: Noising) -> int:
    """How often the sampler asks the model."""
    if options.sampler == "ddpm":
        return noising.schedule.timesteps
    asked: list[int] = []

    def count(step: int, total: int, x0: np.ndarray) -> bool:
        asked.append(total)
        return True

    x = np.zeros((1, 1), np.float32)
    denoise(options, lambda x, t: x, x, noising, noise=lambda step: x, callback=count)
    return asked[0]
