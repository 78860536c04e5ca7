"""Small pieces that several networks share."""

from __future__ import annotations

import math

import numpy as np
from mindspore import Tensor, nn, ops

from mindlong.ops.activation import GELU
from mindlong.ops.linear import Linear


def sinusoid_frequencies(width: int) -> np.ndarray:
    """float32 (width / 2,): exp(-i ln(10000) / (width/2 - 1)), from 1 down to 1/10000 with both
    ends included.

    The exponent is rounded to float32 as torch does it: the last bit of a frequency is 6e-5 of an
    angle at t = 999.
    """
    half = width // 2
    exponents = np.arange(half, dtype=np.float32) * np.float32(-math.log(10000.0) / (half - 1))
    return np.exp(exponents.astype(np.float64)).astype(np.float32)


class SinusoidalPosEmb(nn.Cell):
    """Sines, then cosines, of a timestep at `width` / 2 frequencies. `width` is even and at least
    4.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.frequencies = Tensor(sinusoid_frequencies(width)[None])

    def construct(self, t_B: Tensor) -> Tensor:
        """(B,) integers or floats -> float32 (B, width)."""
        angles = t_B.astype(self.frequencies.dtype).reshape((-1, 1)) * self.frequencies
        return ops.concat((ops.sin(angles), ops.cos(angles)), -1)


class TimeMLP(nn.Cell):
    """Timestep -> embedding: sinusoid of `width`, Linear, exact GELU, Linear, both to `out`."""

    def __init__(self, width: int, out: int) -> None:
        super().__init__()
        self.embed = SinusoidalPosEmb(width)
        self.fc1 = Linear(width, out)
        self.act = GELU()
        self.fc2 = Linear(out, out)

    def construct(self, t_B: Tensor) -> Tensor:
        """(B,) -> (B, out)."""
        return self.fc2(self.act(self.fc1(self.embed(t_B))))
