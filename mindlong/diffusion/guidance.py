"""Classifier-free guidance (arXiv 2207.12598): null + scale * (conditional - null).

Models are callables `model(x, t) -> prediction` over (B, ...) float32 arrays; what they are
conditioned on is inside them.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

Model = Callable[[np.ndarray, np.ndarray], np.ndarray]


def combine(
    conditional: np.ndarray, null: np.ndarray, scale: float, rescale: float = 0.0
) -> np.ndarray:
    """The guided prediction. `rescale` (0 to 1) pulls its spread per row back to the conditional's
    (arXiv 2305.08891, eq. 16).
    """
    guided_out = null + (conditional - null) * scale
    if not rescale:
        return guided_out
    axes = tuple(range(1, guided_out.ndim))
    spread = np.std(conditional, axis=axes, keepdims=True) / np.std(
        guided_out, axis=axes, keepdims=True
    )
    return (guided_out * (rescale * spread + (1.0 - rescale))).astype(guided_out.dtype)


def guided(
    model_cond: Model, model_null: Model | None, scale: float, rescale: float = 0.0
) -> Model:
    """A model guided by two passes. With scale 1, or without a null model, the null pass is never
    made.
    """
    if scale == 1 or model_null is None:
        return model_cond
    return lambda x, t: combine(model_cond(x, t), model_null(x, t), scale, rescale)


def guided_batched(model_both: Model, scale: float, rescale: float = 0.0) -> Model:
    """A model guided by one pass over twice the rows: `model_both` takes (2B, ...), the null
    condition's B rows first.
    """

    def model(x: np.ndarray, t: np.ndarray) -> np.ndarray:
        null, conditional = np.split(model_both(np.concatenate([x, x]), np.concatenate([t, t])), 2)
        return combine(conditional, null, scale, rescale)

    return model
