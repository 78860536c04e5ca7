"""Where a frame stands in time, as Unet3D's temporal attentions take it: rotary angles and a
relative bias.

F frames, N heads. Both are evaluated once in a forward and shared by all temporal attentions.
"""

from __future__ import annotations

import numpy as np
from mindspore import Parameter, Tensor, nn, ops

from mindlong.ops.exact import looked_up

MASKED = -1e9  # far below any score, and small enough that adding a bias to it stays finite


def relative_buckets(frames: int, buckets: int = 32, max_distance: int = 32) -> np.ndarray:
    """int32 (F, F): the bucket of key j as query i sees it (T5, arXiv 1910.10683).

    Half of the buckets is for keys before the query and at it, half for keys after it. In each half
    the first half is exact distances; from there on buckets grow geometrically to `max_distance`.
    The edges are found in integers (n >= exact * (max_distance / exact)^(k / exact) compared as
    powers), because a float32 logarithm lands on the wrong side of them on some devices.
    """
    half = buckets // 2
    exact = half // 2
    rel = np.arange(frames)[None, :] - np.arange(frames)[:, None]
    side = np.array([_side(n, exact, half, max_distance) for n in range(frames)], np.int32)
    return (side[np.abs(rel)] + half * (rel > 0)).astype(np.int32)


def _side(distance: int, exact: int, half: int, max_distance: int) -> int:
    if distance < exact:
        return distance
    steps = half - exact
    passed = sum(
        distance**steps * exact**k >= exact**steps * max_distance**k for k in range(1, steps)
    )
    return exact + passed


@ops.constexpr
def _bucket_rows(frames: int, buckets: int, max_distance: int) -> Tensor:
    """(F*F, buckets) one-hot rows: the lookup becomes an exact product whose gradient adds in a
    fixed order.
    """
    return Tensor(
        np.eye(buckets, dtype=np.float32)[
            relative_buckets(frames, buckets, max_distance).reshape(-1)
        ]
    )


@ops.constexpr
def _other_frames(frames: int) -> Tensor:
    return Tensor((MASKED * (1 - np.eye(frames)))[None, None].astype(np.float32))


@ops.constexpr
def _frame_numbers(frames: int) -> Tensor:
    return Tensor(np.arange(frames, dtype=np.float32)[:, None])


class RelativeBias(nn.Cell):
    """What is added to a score for the distance between two frames: one learned number for each
    bucket and head.
    """

    def __init__(self, heads: int, buckets: int = 32, max_distance: int = 32) -> None:
        super().__init__()
        self.buckets, self.max_distance, self.heads = buckets, max_distance, heads
        self.weight = Parameter(np.zeros((buckets, heads), np.float32))

    def init_weights(self, draw) -> None:
        """N(0, 1), as every embedding."""
        self.weight.set_data(
            Tensor(draw("weight").standard_normal(self.weight.shape, dtype=np.float32))
        )

    def construct(self, frames: int) -> Tensor:
        """float32 (1, N, F, F), query before key."""
        rows = looked_up(_bucket_rows(frames, self.buckets, self.max_distance), self.weight)
        return (
            rows.reshape((frames, frames, self.heads))
            .transpose((2, 0, 1))
            .reshape((1, self.heads, frames, frames))
        )


def focus_bias(bias_1NFF: Tensor, focus_B: Tensor) -> Tensor:
    """(B, N, F, F): where `focus_B` is True every other frame is masked out; elsewhere the bias as
    it was.
    """
    frames = bias_1NFF.shape[-1]
    chosen = focus_B.astype(bias_1NFF.dtype).reshape((-1, 1, 1, 1))
    return bias_1NFF + chosen * _other_frames(frames)


class RotaryAngles(nn.Cell):
    """Rotary positions (arXiv 2104.09864): the cosines and sines by which pairs of features turn
    from frame to frame.

    The frequencies 10000^(-2j / dim) are a frozen parameter, because the original stores them with
    the weights.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        frequencies = 1.0 / 10000.0 ** (np.arange(0, dim, 2, dtype=np.float32)[: dim // 2] / dim)
        self.freqs = Parameter(frequencies.astype(np.float32), requires_grad=False)

    def construct(self, frames: int) -> tuple[Tensor, Tensor]:
        """Cosines and sines, each (F, dim / 2)."""
        angles = _frame_numbers(frames) * self.freqs.reshape((1, -1))
        return ops.cos(angles), ops.sin(angles)
