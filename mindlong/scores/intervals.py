"""Means with what chance does to them: bootstrap intervals (Efron's percentiles) from one seed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

DRAWS, LEVEL = 2000, 0.95


@dataclass(frozen=True)
class Interval:
    """A mean and the interval that holds it with a chance of LEVEL."""

    mean: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.mean:.4f} [{self.low:.4f}, {self.high:.4f}]"


def of_mean(values: Sequence[float], seed: int = 0) -> Interval:
    """Of the mean of independent values; one value has no width."""
    held = np.asarray(values, np.float64)
    means = _drawn(held, np.random.default_rng(seed))
    return _interval(held.mean(), means)


def of_difference(a: Sequence[float], b: Sequence[float], seed: int = 0) -> Interval:
    """Of mean(b) - mean(a), two independent groups."""
    left, right = np.asarray(a, np.float64), np.asarray(b, np.float64)
    rng = np.random.default_rng(seed)
    differences = _drawn(right, rng) - _drawn(left, rng)
    return _interval(right.mean() - left.mean(), differences)


def _drawn(values: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return values[rng.integers(0, len(values), (DRAWS, len(values)))].mean(1)


def _interval(mean: float, drawn: np.ndarray) -> Interval:
    low, high = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(float(mean), float(low), float(high))
