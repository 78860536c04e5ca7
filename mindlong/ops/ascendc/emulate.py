"""The 910A kernels on the CPU twin: what they compute, whether their synchronisation holds, and
what bounds them.

The twin checks sizes and alignment of every instruction, that no core touches another's output, and
that flags and barriers order every access to on-chip memory (a hazard is an error). Its clocks know
each pipe's rate and nothing else.

Legend: R rows (batch * heads), S queries, T keys, D width of a head.
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mindlong.ops.ascendc.layout import POWERS, control, powers, tails

if TYPE_CHECKING:
    from mindlong.ops.attention.visible import Visible

HERE = Path(__file__).parent
SOURCE = HERE / "twin" / "run.cpp"
FLAGS = ("-O2", "-std=c++17", "-shared", "-fPIC", "-w")
PIPES = ("scalar", "vector", "cube", "L1 to L0", "memory in", "UB out")
# What becomes of a result that a half does not hold: infinity as in IEEE; or, as on a 910A, the
# largest half, where what is not a number stays so or is 0.
OVERFLOW = ("infinite", "saturated", "saturated, nan is zero")


class TwinError(Exception):
    """The kernel did something that the chip forbids; the message says what."""


@dataclass(frozen=True)
class Rates:
    """Bytes a cycle of the pipes, and cycles of what costs more; the defaults are the platform
    file's of the 910A.
    """

    gm_read: float = 32
    gm_write: float = 32
    l1_to_l0a: float = 512
    l1_to_l0b: float = 256
    ub_to_l1: float = 128
    l0c_to_ub: float = 256
    vector: float = 256
    burst: float = 1  # a 32-byte piece of a strided move
    exp: float = 1  # a repeat of an exponential
    start: float = 0
    issue: float = 0


@dataclass(frozen=True)
class Report:
    """What a run cost: cycles of the slowest core, cycles that each pipe of all cores was busy,
    bytes, products.
    """

    span: float
    busy: dict[str, float]
    gm_bytes: float
    macs: float
    instructions: int

    @property
    def bound(self) -> str:
        """The pipe that is busy longest."""
        return max(self.busy, key=self.busy.get)

    def of_peak(self, products: float) -> float:
        """Share of the cube's peak that `products` useful multiplications reach if the busiest pipe
        never waits.
        """
        return products / 4096 / self.busy[self.bound]


@dataclass(frozen=True)
class Gradients:
    """Gradients and the reports of both kernels."""

    dq: np.ndarray
    dk: np.ndarray
    dv: np.ndarray
    reports: tuple[Report, Report] = field(compare=False)


def compile_twin(source: Path = SOURCE) -> Path:
    """The shared library of the kernels and the twin, compiled if it is not in the cache. Raises
    BuildError.
    """
    from mindlong.ops.native.build import (
        build,
    )  # loads MindSpore, which running the twin does not need

    root = source.parent.parent
    files = sorted(p for p in root.rglob("*") if p.suffix in (".h", ".cpp"))
    digest = hashlib.sha256(b"\0".join(f.read_bytes() for f in files)).hexdigest()[:16]
    return build(
        source, (*FLAGS, f"-I{source.parent}", f"-I{source.parent / 'host'}", f"-DKERNELS_{digest}")
    )


@functools.lru_cache(None)
def library(path: Path | None = None) -> ctypes.CDLL:
    """The twin, opened."""
    return ctypes.CDLL(str(path or compile_twin()))


def run(
    kernel: int,
    shape: tuple[int, ...],
    arrays: list[np.ndarray],
    cores: int = 2,
    rates: Rates | None = None,
    watch: bool = True,
    limits: list[int] | None = None,
    twin: ctypes.CDLL | None = None,
    overflow: str = OVERFLOW[0],
) -> Report:
    """One launch: kernel 0, 1 or 2 of `layout.OPERATORS` on (R, S, T, D) and contiguous arrays,
    inputs first; `limits`: their sizes in bytes where the kernel is to believe in a larger shape;
    `overflow`: one of OVERFLOW.

    Raises TwinError.
    """
    for a in arrays:
        if not a.flags.c_contiguous:
            raise ValueError("the twin takes contiguous arrays")
    pointers = (ctypes.c_void_p * len(arrays))(*(a.ctypes.data for a in arrays))
    numbers = (ctypes.c_double * 11)(*vars(rates or Rates()).values())
    sizes = (ctypes.c_int64 * len(arrays))(*(limits or [a.nbytes for a in arrays]))
    message, out = ctypes.create_string_buffer(400), (ctypes.c_double * 11)()
    how = (numbers, watch, OVERFLOW.index(overflow), message, out)
    done = (twin or library()).twin_run(
        kernel, (ctypes.c_uint32 * 4)(*shape), cores, pointers, sizes, *how
    )
    if done:
        raise TwinError(message.value.decode())
    return Report(
        out[4], dict(zip(PIPES, out[5:], strict=True)), out[0] + out[1], out[2], int(out[3])
    )


def forward(
    q_RSD: np.ndarray,
    k_RTD: np.ndarray,
    v_RTD: np.ndarray,
    scale: float,
    heads: int = 1,
    visible: Visible | None = None,
    **how,
) -> tuple[np.ndarray, np.ndarray, Report]:
    """o (R, S, D), the tails of the log-sums, and what it cost, for float16 arrays; `how` as in
    `run`.
    """
    rows, queries, width = q_RSD.shape
    out, logsum = np.empty_like(q_RSD), np.empty(tails(rows, queries), np.float16)
    steer = control(rows // heads, heads, k_RTD.shape[1], scale, visible)
    shape = (rows, queries, k_RTD.shape[1], width)
    report = run(0, shape, [q_RSD, k_RTD, v_RTD, steer, out, logsum], **how)
    return out, logsum, report


def backward(
    q_RSD: np.ndarray,
    k_RTD: np.ndarray,
    v_RTD: np.ndarray,
    o_RSD: np.ndarray,
    logsum: np.ndarray,
    do_RSD: np.ndarray,
    scale: float,
    heads: int = 1,
    visible: Visible | None = None,
    **how,
) -> Gradients:
    """Gradients from what `forward` gave and the gradient of o; `how` as in `run`."""
    rows, queries, width = q_RSD.shape
    shape = (rows, queries, k_RTD.shape[1], width)
    steer = control(rows // heads, heads, k_RTD.shape[1], scale, visible)
    steer[POWERS] = powers(v_RTD, do_RSD)
    delta, scaled, dq = np.empty_like(logsum), np.empty_like(q_RSD), np.empty_like(q_RSD)
    first = run(
        1, shape, [q_RSD, k_RTD, v_RTD, steer, o_RSD, logsum, do_RSD, delta, scaled, dq], **how
    )
    dk, dv = np.empty_like(k_RTD), np.empty_like(v_RTD)
    second = run(2, shape, [k_RTD, v_RTD, steer, logsum, do_RSD, delta, scaled, dk, dv], **how)
    return Gradients(dq, dk, dv, (first, second))
