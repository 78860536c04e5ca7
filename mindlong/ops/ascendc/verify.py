"""Compares an NPU's flash attention with float64, and times it beside the plain form.

    python -m mindlong.ops.ascendc.verify           on a 910A, with the operators built; or on a
    910B, whose operator is the vendor's: every width that the networks have, and masks
    python -m mindlong.ops.ascendc.verify --twin    the 910A kernels' source on the CPU twin:
    numbers and what bounds them

Exit code 0: all within the tolerance; 1: not, or no such NPU is here.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import dataclass

import numpy as np

from mindlong.ops.attention.visible import FAR, Visible

ROUNDS, UNTIMED = 10, 2  # calls that are timed, and before them
TOLERANCE = 3e-3  # of the largest number of an answer, or of 1


@dataclass(frozen=True)
class Case:
    """An attention to compare: batch, heads, queries, keys, width and mask."""

    name: str
    batch: int
    heads: int
    queries: int
    keys: int
    width: int
    visible: Visible = Visible()

    def draw(self) -> tuple[np.ndarray, ...]:
        """q, k, v and the gradient of the output, float16 (batch, heads, length, width)."""
        rng = np.random.default_rng(0)
        lengths = (self.queries, self.keys, self.keys, self.queries)
        return tuple(
            rng.standard_normal((self.batch, self.heads, n, self.width)).astype(np.float16)
            for n in lengths
        )


CASES = (
    Case("one tile", 1, 1, 128, 128, 64),
    Case("text", 2, 4, 256, 77, 64),
    Case("tails", 1, 2, 200, 300, 48),
    Case("window of frames", 1, 2, 512, 512, 64, Visible(back=1, ahead=1, unit=64)),
    Case("keys that count", 2, 1, 256, 256, 80, Visible(key_counts=(100, 256))),
    Case("wide heads", 1, 1, 256, 256, 160),
    Case("long", 1, 1, 1024, 1024, 64),
)
WIDTHS = (16, 32, 40, 48, 64, 72, 80, 96, 112, 128, 144, 160, 192, 256, 512)
CASES_910B = (
    *(Case(f"width {d}", 2, 2, 200, 300, d) for d in WIDTHS),
    *CASES,
    Case("causal", 1, 2, 384, 384, 64, Visible(back=FAR, ahead=0)),
    Case("band of tokens", 1, 1, 2304, 2304, 64, Visible(back=100, ahead=7)),
    Case("window on wide heads", 1, 1, 256, 256, 160, Visible(back=0, ahead=1, unit=64)),
    Case("rows for heads", 2050, 1, 16, 16, 64),
)
LARGE = (Case("4k tokens", 1, 8, 4096, 4096, 64), Case("9k tokens", 1, 5, 9216, 9216, 64))
NAMES = ("o", "dq", "dk", "dv")


def plain(case: Case, arrays: tuple[np.ndarray, ...]) -> list[np.ndarray]:
    """o, dq, dk and dv in float64."""
    q, k, v, do = (x.astype(np.float64) for x in arrays)
    scale = case.width**-0.5
    scores = np.where(
        case.visible.seen(case.queries, case.keys)[:, None], q @ k.swapaxes(2, 3) * scale, -np.inf
    )
    p = np.exp(scores - scores.max(-1, keepdims=True))
    p /= p.sum(-1, keepdims=True)
    o = p @ v
    ds = p * (do @ v.swapaxes(2, 3) - (do * o).sum(-1, keepdims=True)) * scale
    return [o, ds @ k, ds.swapaxes(2, 3) @ q, p.swapaxes(2, 3) @ do]


def error(got: np.ndarray, want: np.ndarray) -> float:
    """The largest difference, relative to the largest number or 1."""
    return float(np.abs(got.astype(np.float64) - want).max() / max(1.0, np.abs(want).max()))


def on_twin(case: Case) -> tuple[list[np.ndarray], str]:
    """The answers of the twin, and its figures in words."""
    from mindlong.ops.ascendc import emulate

    q, k, v, do = (x.reshape(-1, *x.shape[2:]) for x in case.draw())
    scale = case.width**-0.5
    o, logsum, first = emulate.forward(q, k, v, scale, case.heads, case.visible, cores=1)
    g = emulate.backward(q, k, v, o, logsum, do, scale, case.heads, case.visible, cores=1)
    products = case.visible.seen(case.queries, case.keys).sum() * len(q) * case.width
    products = (
        products / (1 if case.visible.key_counts else case.batch) if case.batch > 1 else products
    )
    words = [
        f"{n} {r.of_peak(m * products):.0%} of the cube, bound by {r.bound}"
        for n, m, r in zip(("forward", "dq", "dk dv"), (2, 3, 4), (first, *g.reports), strict=True)
    ]
    return [
        x.reshape(case.batch, case.heads, *x.shape[1:]) for x in (o, g.dq, g.dk, g.dv)
    ], "; ".join(words)


class OnDevice:
    """The chip's flash attention, and the plain form, on the device."""

    def __init__(self, chip: str) -> None:
        import mindspore as ms
        from mindspore import nn, ops

        from mindlong.ops.attention.math import math_attention

        attend = _attend(chip)

        class Ours(nn.Cell):
            def __init__(self, scale, visible):
                super().__init__()
                self.scale, self.visible = scale, visible

            def construct(self, q, k, v):
                return attend(q, k, v, self.scale, self.visible)

        class Plain(nn.Cell):
            def __init__(self, scale):
                super().__init__()
                self.scale = scale

            def construct(self, q, k, v):
                return math_attention(q, k, v, self.scale)

        self.ms, self.ops, self.ours, self.plain = ms, ops, Ours, Plain

    def answers(self, case: Case) -> tuple[list[np.ndarray], str]:
        """o, dq, dk, dv and the time of a forward pass, of forward and backward, and of the plain
        form's.
        """
        v = case.visible
        cell = self.ours(case.width**-0.5, (v.key_counts, v.back, v.ahead, v.unit))
        q, k, v, do = (self.ms.Tensor(x) for x in case.draw())
        step = self.ops.GradOperation(get_all=True, sens_param=True)
        out = [cell(q, k, v), *step(cell)(q, k, v, do)]
        words = f"forward {self.clock(cell, q, k, v):.2f} ms, with backward {self.clock(step(cell), q, k, v, do):.2f} ms"
        if case.visible == Visible():
            plain_cell = self.plain(case.width**-0.5)
            words += f"; plain {self.clock(plain_cell, q, k, v):.2f} and {self.clock(step(plain_cell), q, k, v, do):.2f} ms"
        return [x.asnumpy() for x in out], words

    def clock(self, function, *arrays) -> float:
        """Milliseconds of a call, median."""
        times = []
        for _ in range(ROUNDS + UNTIMED):
            start = time.perf_counter()
            function(*arrays)
            self.ms.runtime.synchronize()
            times.append(1e3 * (time.perf_counter() - start))
        return float(np.median(times[UNTIMED:]))


def _attend(chip: str):
    """The flash attention of a chip: a function of q, k, v, scale and the fields of a `Visible`."""
    from mindlong.ops.attention import flash_910a, flash_910b

    if chip == "910b":
        return flash_910b.attend_910b
    kernel = flash_910a.operator()

    def attend(q, k, v, scale, visible):
        return flash_910a.attend_910a(kernel, q, k, v, scale, visible)

    return attend


def no_device() -> str | None:
    """Why nothing can be compared on a device; None if it can."""
    from mindlong.ops import device
    from mindlong.ops.attention import flash_910a
    from mindlong.utils.errors import ConfigError

    try:
        device.setup(target="auto", jit_level="O0", native="off")
    except ConfigError as found:
        return str(found)
    if device.chip() == "cpu":
        return "no 910A or 910B is here: this is cpu; with --twin the 910A kernels' source runs on this CPU instead"
    if device.chip() == "910b":
        return None
    absent = flash_910a.missing()
    return None if absent is None else f"the operators cannot be called: {absent}"


def compare(case: Case, answers) -> bool:
    """One line; whether all is within the tolerance."""
    got, words = answers(case)
    errors = [error(a, b) for a, b in zip(got, plain(case, case.draw()), strict=True)]
    fine = all(np.isfinite(e) and e < TOLERANCE for e in errors)
    numbers = ", ".join(f"{n} {e:.0e}" for n, e in zip(NAMES, errors, strict=True))
    print(f"{'ok   ' if fine else 'WRONG'} {case.name:<18} {numbers}  ({words})", flush=True)
    return fine


def _questions(twin: bool):
    """Cases, and who answers."""
    if twin:
        return [(case, on_twin) for case in CASES]
    from mindlong.ops import device

    answers = OnDevice(device.chip()).answers
    cases = CASES_910B if device.chip() == "910b" else CASES
    return [(case, answers) for case in (*cases, *LARGE)]


def main(argv: list[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(
        prog="python -m mindlong.ops.ascendc.verify", description=__doc__.splitlines()[0]
    )
    parser.add_argument(
        "--twin", action="store_true", help="run the kernels' source on the CPU twin"
    )
    args = parser.parse_args(argv)
    reason = None if args.twin else no_device()
    if reason:
        print(reason, file=sys.stderr)
        return 1
    results = [compare(case, answers) for case, answers in _questions(args.twin)]
    print(f"{sum(results)} of {len(results)} within {TOLERANCE}")
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
