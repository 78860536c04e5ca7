"""Attentions that run under CANN's own headers, forward and backward, compared with float64 and
with the twin.

    python tests/unit/ascendc_cann_cases.py LIBRARY [NAME ...]

One line of JSON for each: its name, the largest errors of o, log-sum, dq, dk and dv (of the largest
number, or of 1), and whether the twin gives the same bits. A process of its own, for CANN's checks
abort.
"""

from __future__ import annotations

import ctypes
import json
import sys
from typing import NamedTuple

import ascendc_oracle as oracle
import numpy as np

from mindlong.ops.ascendc import emulate
from mindlong.ops.ascendc.layout import from_tails
from mindlong.ops.attention.visible import FAR, Visible


class Case(NamedTuple):
    """An attention: R rows of some heads, S queries, T keys, D width; factors on the inputs."""

    rows: int = 1
    heads: int = 1
    queries: int = 300
    keys: int = 260
    width: int = 64
    scores: float = 1  # on q and on k
    values: float = 1
    gradient: float = 1
    visible: Visible = Visible()
    cores: int = 2

    def draw(self) -> tuple[np.ndarray, ...]:
        """q, k, v and do, float16."""
        shape = (self.rows, self.queries, self.keys, self.width)
        q, k, v, do = oracle.draw(*shape, seed=3, size=self.scores)
        return q, k, v * np.float16(self.values), do * np.float16(self.gradient)


CASES = {
    **{f"width {d}": Case(width=d) for d in range(16, 161, 16)},
    "one tile": Case(queries=128, keys=128, cores=1),
    "one key": Case(queries=64, keys=1),
    "one query": Case(queries=1, keys=500, width=32),
    "text": Case(2, 2, 513, 77),
    "many keys": Case(queries=257, keys=700, width=48),
    "many keys of wide heads": Case(queries=200, keys=520, width=160),
    "five cores": Case(6, 3, 96, 130, 48, cores=5),
    "keys that count": Case(queries=200, keys=200, width=32, visible=Visible(key_counts=(150,))),
    "keys that count by row": Case(4, 2, 200, 200, 32, visible=Visible((150, 7)), cores=3),
    "window of frames": Case(queries=256, keys=256, width=32, visible=Visible(None, 1, 0, 16)),
    "its own frame": Case(queries=320, keys=320, width=32, visible=Visible(None, 0, 0, 64)),
    "window across tiles": Case(queries=384, keys=384, visible=Visible(None, 2, 1, 24)),
    "causal": Case(queries=300, keys=300, visible=Visible(None, FAR, 0)),
    "window of wide heads": Case(queries=200, keys=200, width=160, visible=Visible(None, 0, 1, 50)),
    "queries without any key": Case(2, 1, 200, 200, 32, visible=Visible((40, 200), 1, 1, 10)),
    "scores of 1e3": Case(queries=64, keys=300, scores=12),
    "scores of 1e5": Case(queries=130, keys=256, scores=160),
    "products beyond the halves": Case(queries=130, keys=256, values=80, gradient=300),
}


def both(twin: ctypes.CDLL | None, arrays, scale: float, heads: int, visible, cores: int):
    """o, tails, dq, dk and dv of float16 q, k, v and do by the kernels of `twin`."""
    how = {"twin": twin, "cores": cores, "overflow": "saturated"}
    q, k, v, do = arrays
    o, logsum, _ = emulate.forward(q, k, v, scale, heads, visible, **how)
    g = emulate.backward(q, k, v, o, logsum, do, scale, heads, visible, **how)
    return o, logsum, g.dq, g.dk, g.dv


def errors(got, arrays, scale: float, seen) -> list[float]:
    """Of o, log-sum, dq, dk, dv against float64, whose queries are rounded as the chip's are."""
    q, k, v, do = arrays
    rounded = (q.astype(np.float32) * scale).astype(np.float16)
    o, lse, dq, dk, dv = oracle.attention(rounded, k, v, 1.0, seen, do)
    blind = ~np.broadcast_to(seen.any(-1), lse.shape)
    found = [got[0], from_tails(got[1], q.shape[1]), *got[2:]]
    found[1], lse = np.where(blind, 0, found[1]), np.where(blind, 0, lse)
    want = (o, lse, dq * scale, dk, dv)
    return [
        float(np.abs(a.astype(np.float64) - b).max() / max(1.0, np.abs(b).max()))
        for a, b in zip(found, want, strict=True)
    ]


def main(library: str, *names: str) -> None:
    """Prints the lines."""
    chip = ctypes.CDLL(library)
    for name in names or CASES:
        case = CASES[name]
        arrays, scale = case.draw(), case.width**-0.5
        steer = (arrays, scale, case.heads, case.visible, case.cores)
        got, same = both(chip, *steer), both(None, *steer)
        seen = oracle.seen(case.visible, case.rows, case.heads, case.queries, case.keys)
        line = {
            "name": name,
            "errors": errors(got, arrays, scale, seen),
            "twin": all(np.array_equal(a, b) for a, b in zip(got, same, strict=True)),
        }
        print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
