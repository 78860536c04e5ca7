"""Classifier-free guidance (arXiv 2207.12598): null + scale * (conditional - null).

Models are callables `model(x, t) -> prediction` over (B, ...) float32 arrays; what they are
conditioned on is inside them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from mindlong.utils.errors import ConfigError, did_you_mean

Model = Callable[[np.ndarray, np.ndarray], np.ndarray]
Scale = float | Callable[[float], float]  # of guidance: one number, or by timestep
CURVES = ("constant", "wave", "ramp")


def scale_of(curve: str, scale: float, times: Sequence[float]) -> Scale:
    """The scale of guidance over a run.

    CogVideoX's dynamic guidance is 1 + scale (1 - cos(pi s^5)) / 2. As published, s is (steps -
    timestep) / steps, a timestep where the number of a step was meant, so that it is a wave between
    1 and 1 + scale ("wave"); with the share of the steps that are done it goes up once ("ramp").

    Args:
        curve: of CURVES. times: the timesteps that are visited, in their order.

    Raises:
        ConfigError: no such curve.
    """
    if curve not in CURVES:
        raise ConfigError(f"There is no curve {curve!r}.{did_you_mean(curve, CURVES)}")
    if curve == "constant":
        return scale
    steps, place = len(times), {float(t): i for i, t in enumerate(times)}

    def at(t: float) -> float:
        share = (steps - t) / steps if curve == "wave" else place[float(t)] / steps
        return 1.0 + scale * (1.0 - math.cos(math.pi * share**5.0)) / 2.0

    return at


def _at(scale: Scale, t: np.ndarray) -> float:
    return scale(float(t[0])) if callable(scale) else scale


def combine(
    conditional: np.ndarray, null: np.ndarray, scale: float, rescale: float = 0.0
) -> np.ndarray:
    """The guided prediction. `rescale` (0 to 1) pulls its spread per row back to the conditional's
    (arXiv 2305.08891, eq. 16).
    """
    return _rescaled(null + (conditional - null) * scale, conditional, rescale)


def combine_three(
    conditional: np.ndarray,
    image: np.ndarray,
    null: np.ndarray,
    scale: float,
    image_scale: float,
    rescale: float = 0.0,
) -> np.ndarray:
    """The prediction guided by text and image apart (arXiv 2211.09800, eq. 3): null +
    image_scale * (image - null) + scale * (conditional - image). `image` knows the image and no
    text. `rescale` as for `combine`.
    """
    guided_out = null + (image - null) * image_scale + (conditional - image) * scale
    return _rescaled(guided_out, conditional, rescale)


def _rescaled(guided_out: np.ndarray, conditional: np.ndarray, rescale: float) -> np.ndarray:
    if not rescale:
        return guided_out
    axes = tuple(range(1, guided_out.ndim))
    spread = np.std(conditional, axis=axes, keepdims=True) / np.std(
        guided_out, axis=axes, keepdims=True
    )
    return (guided_out * (rescale * spread + (1.0 - rescale))).astype(guided_out.dtype)


def guided(
    model_cond: Model, model_null: Model | None, scale: Scale, rescale: float = 0.0
) -> Model:
    """A model guided by two passes. With scale 1, or without a null model, the null pass is never
    made.
    """
    if scale == 1 or model_null is None:
        return model_cond
    return lambda x, t: combine(model_cond(x, t), model_null(x, t), _at(scale, t), rescale)


def guided_by_image(
    model_cond: Model,
    model_image: Model,
    model_null: Model,
    scale: float,
    image_scale: float,
    rescale: float = 0.0,
) -> Model:
    """A model guided by three passes: text and image, the image alone, neither."""

    def model(x: np.ndarray, t: np.ndarray) -> np.ndarray:
        conditional, image, null = model_cond(x, t), model_image(x, t), model_null(x, t)
        return combine_three(conditional, image, null, scale, image_scale, rescale)

    return model


def guided_batched(model_both: Model, scale: Scale, rescale: float = 0.0) -> Model:
    """A model guided by one pass over twice the rows: `model_both` takes (2B, ...), the null
    condition's B rows first.
    """

    def model(x: np.ndarray, t: np.ndarray) -> np.ndarray:
        null, conditional = np.split(model_both(np.concatenate([x, x]), np.concatenate([t, t])), 2)
        return combine(conditional, null, _at(scale, t), rescale)

    return model
