"""Inputs that are hard on the 910A kernels: q, k, v and the gradient of the output, float16."""

from __future__ import annotations

import ascendc_oracle as oracle
import numpy as np


def large(scores: float = 1.0, values: float = 1.0, gradient: float = 1.0):
    """Factors on q and on k, on v, and on the gradient."""
    q, k, v, do = oracle.draw(1, 130, 256, 64, seed=13, size=scores)
    return q, k, v * np.float16(values), do * np.float16(gradient)


def rising():
    """Scores that rise with the key."""
    q, k, v, do = oracle.draw(1, 32, 640, 64, seed=3)
    rise = np.sign(q[:, :1]) * np.linspace(-2, 2, 640)[None, :, None]
    return q, (k * np.float16(0.1) + rise).astype(np.float16), v, do


def jumping():
    """The second tile of keys brings a score that is 500 to 64500 higher, by the row."""
    q, k, v, do = oracle.draw(1, 128, 200, 64, seed=3)
    q[0, :, 0], k[0, :, 0] = np.linspace(4, 500, 128), 0
    k[0, 170] = 0
    k[0, 170, 0] = 1032
    return q, k, v, do


def below(shift: float):
    """Every score is near -2 shift."""
    q, k, v, do = oracle.draw(1, 140, 140, 16, seed=16, size=6)
    q[..., 12:], k[..., 12:] = shift, -2
    return q, k, v, do


def last_key_wins():
    """The highest score is that of the last key."""
    q, k, v, do = oracle.draw(1, 32, 520, 64, seed=4)
    k[:, -1] = np.sign(q[:, 0]) * 20
    return q, k, v, do


def equal():
    """All scores are the same."""
    q, k, v, do = oracle.draw(1, 200, 300, 64, seed=5)
    return np.ones_like(q), np.ones_like(k), v, do


def zero_values():
    """v is zero."""
    q, k, v, do = oracle.draw(1, 130, 130, 32, seed=6)
    return q, k, np.zeros_like(v), do


def tiny_gradient():
    """The gradient is near the subnormal halves."""
    q, k, v, do = oracle.draw(1, 130, 260, 64, seed=7)
    return q, k, v, (do * np.float16(2**-6)).astype(np.float16)


def beyond(width: int = 64):
    """Query 140 of the first of two rows scores more than a reference holds."""
    q, k, v, do = oracle.draw(2, 300, 140, width, seed=15)
    q[0, 140], k[0, 7] = 30000, 30000
    return q, k, v, do


ADVERSARIAL = {
    "scores of 1e3": lambda: oracle.draw(1, 64, 300, 64, seed=2, size=12),
    "scores of 1e4": lambda: oracle.draw(1, 64, 300, 64, seed=2, size=40),
    "scores of 1e5": lambda: large(scores=160),
    "scores of 1e7": lambda: large(scores=1200),
    "products of 1e5": lambda: large(values=80, gradient=80),
    "products of 1e6": lambda: large(values=8, gradient=8000),
    "scores and products of 1e5": lambda: large(160, 80, 80),
    "a maximum that rises": rising,
    "a maximum that jumps": jumping,
    "scores far below zero": lambda: below(1000),
    "scores below the halves": lambda: below(40960),
    "a maximum in the last key": last_key_wins,
    "all scores equal": equal,
    "values of zero": zero_values,
    "a small gradient": tiny_gradient,
}
