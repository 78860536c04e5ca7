"""The Frechet distance of two sets of features, as FID (arXiv 1706.08500) and FVD (arXiv
1812.01717) have it: with features of an I3D it is FVD.
"""

from __future__ import annotations

import numpy as np

from mindlong.utils.errors import ConfigError


def frechet_distance(a_ND: np.ndarray, b_MD: np.ndarray) -> float:
    """|mean_a - mean_b|^2 + tr(C_a + C_b - 2 (C_a C_b)^(1/2)), C the covariances over N - 1.

    The trace of the root is taken from the symmetric C_a^(1/2) C_b C_a^(1/2), which has the same
    eigenvalues as C_a C_b; it stays real where there are fewer samples than features.

    Raises:
        ConfigError: fewer than two samples, features of different widths, numbers not finite.
    """
    a, b = (np.asarray(x, np.float64) for x in (a_ND, b_MD))
    _check(a, b)
    distance = float(np.square(a.mean(0) - b.mean(0)).sum())
    cov_a, cov_b = (np.atleast_2d(np.cov(x, rowvar=False)) for x in (a, b))
    root = _root(cov_a)
    product = np.linalg.eigvalsh(root @ cov_b @ root)
    crossed = float(np.sqrt(np.clip(product, 0, None)).sum())
    return max(0.0, distance + float(np.trace(cov_a) + np.trace(cov_b)) - 2 * crossed)


def _root(matrix: np.ndarray) -> np.ndarray:
    """The symmetric square root of a symmetric matrix without negative eigenvalues."""
    values, vectors = np.linalg.eigh(matrix)
    return (vectors * np.sqrt(np.clip(values, 0, None))) @ vectors.T


def _check(a: np.ndarray, b: np.ndarray) -> None:
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1]:
        raise ConfigError(
            f"features of shapes {a.shape} and {b.shape} cannot be compared; both must be (videos, width)"
        )
    if min(len(a), len(b)) < 2:
        raise ConfigError(
            f"{len(a)} and {len(b)} videos are compared; a Frechet distance needs at least 2 of each"
        )
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise ConfigError("features that are not finite cannot be compared")
