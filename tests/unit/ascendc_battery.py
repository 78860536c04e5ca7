"""The attentions that a mutant of the 910A kernels must get right to survive: few, and each with
much in it.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from dataclasses import dataclass

import ascendc_inputs as inputs
import ascendc_oracle as oracle
import numpy as np

from mindlong.ops.ascendc import emulate
from mindlong.ops.ascendc.layout import from_tails
from mindlong.ops.attention.visible import Visible


@dataclass(frozen=True)
class Work:
    """Inputs, and what must come out: o, dq, dk, dv, and log-sums (0 where a row sees no key)."""

    arrays: tuple[np.ndarray, ...]
    heads: int
    visible: Visible
    scale: float
    want: tuple[np.ndarray, ...]
    logsum: np.ndarray
    float_errors: float  # of scores, relative: 0 where their products are exact


def work(
    arrays, heads: int = 1, visible: Visible | None = None, float_errors: float = 3e-7
) -> Work:
    """For float16 q, k, v and do; queries are rounded after the scale, as the chip rounds them."""
    visible = visible or Visible()
    q, k, v, do = arrays
    rows, queries, width = q.shape
    scale = width**-0.5
    seen = oracle.seen(visible, rows, heads, queries, k.shape[1])
    rounded = (q.astype(np.float32) * scale).astype(np.float16)
    o, lse, dq, dk, dv = oracle.attention(rounded, k, v, 1.0, seen, do)
    lse = np.where(seen.any(-1), lse, 0)
    want = (o, dq * scale, dk, dv)
    return Work(arrays, heads, visible, scale, want, lse, float_errors)


BATTERY: tuple[Callable[[], Work], ...] = (
    lambda: work(oracle.draw(1, 200, 300, 64, seed=20)),
    lambda: work(oracle.draw(2, 200, 200, 32, seed=22), 1, Visible((40, 200), 1, 1, 10)),
    lambda: work(oracle.draw(2, 300, 520, 32, seed=21, size=4), 2),
    lambda: work(oracle.draw(1, 384, 384, 96, seed=23), 1, Visible(None, 2, 1, 64)),
    lambda: work(oracle.draw(1, 256, 256, 32, seed=27, size=6), 1, Visible(None, 2, 0, 16)),
    lambda: work(oracle.draw(1, 150, 470, 160, seed=24)),
    lambda: work(oracle.draw(1, 70, 900, 16, seed=25, size=12)),
    lambda: work(oracle.draw(2, 520, 640, 64, seed=26), 1, Visible((90, 640))),
    lambda: work(inputs.jumping(), float_errors=0),
    lambda: work(inputs.below(1000)),
    lambda: work(inputs.below(40960), 1, Visible(None, 1, 0, 20)),
    lambda: work(inputs.large(values=80, gradient=300)),
)


def right(twin: ctypes.CDLL, battery: list[Work]) -> bool:
    """Whether the kernels of `twin` compute what they must, and refuse what they must."""
    return all(is_right(twin, w) for w in battery) and refuses(twin)


def is_right(twin: ctypes.CDLL, w: Work) -> bool:
    """Whether one is."""
    q, k, v, do = w.arrays
    steer = (w.scale, w.heads, w.visible)
    o, logsum, _ = emulate.forward(q, k, v, *steer, twin=twin)
    found = np.where(w.logsum == 0, 0, from_tails(logsum, q.shape[1]))
    if not np.abs(found - w.logsum).max() < 2e-3 + w.float_errors * np.abs(w.logsum).max():
        return False
    g = emulate.backward(q, k, v, o, logsum, do, *steer, twin=twin)
    return all(
        np.abs(a - b).max() < 3e-3 * max(1, np.abs(b).max())
        for a, b in zip((o, g.dq, g.dk, g.dv), w.want, strict=True)
    )


def refuses(twin: ctypes.CDLL) -> bool:
    """Whether scores beyond a reference give what is not a number, however the chip overflows, and
    nothing else does.
    """
    q, k, v, do = inputs.beyond()
    steer = {"twin": twin, "overflow": emulate.OVERFLOW[2]}
    o, logsum, _ = emulate.forward(q, k, v, 0.125, **steer)
    g = emulate.backward(q, k, v, o, logsum, do, 0.125, **steer)
    lost = [np.isnan(x).any(-1) for x in (o, g.dq, g.dk, g.dv)]
    tile = np.zeros(o.shape[:2], bool)
    tile[0, 128:256] = True
    rows = np.zeros(g.dk.shape[:2], bool)
    rows[0] = True
    return all(np.array_equal(a, b) for a, b in zip(lost, (tile, tile, rows, rows), strict=True))
