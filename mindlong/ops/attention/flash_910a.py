"""Flash attention on a 910A: the Ascend C operators of `mindlong/ops/ascendc`, once the user has
built them.

Registered by `ops.Custom(func_type="aot")`; the backward pass is two operators of the same source.
On a CPU the twin offers operators of the same names, so `attend_910a` is tested as a part of a
graph.

Legend: B batch, N heads, S queries, T keys, D width of a head.
"""

from __future__ import annotations

import functools
import math

import mindspore as ms
import numpy as np
from mindspore import Tensor, ops

from mindlong.ops import device
from mindlong.ops.ascendc import layout
from mindlong.ops.ascendc.installed import unbuilt
from mindlong.ops.attention.visible import Visible

_PORTS = {
    layout.FORWARD: (("q", "k", "v", "control"), ("o", "logsum")),
    layout.BACKWARD_QUERIES: (
        ("q", "k", "v", "control", "o", "logsum", "dout"),
        ("delta", "scaled", "dq"),
    ),
    layout.BACKWARD_KEYS: (
        ("k", "v", "control", "logsum", "dout", "delta", "scaled"),
        ("dk", "dv"),
    ),
}


def missing() -> str | None:
    """Why the operators cannot be called; None if they can."""
    level = device.jit_level()
    if device.chip() == "910a" and level != "O0":
        return f"custom operators are documented for env.jit_level=O0 alone, and here it is {level}"
    return unbuilt()


def _registration(name: str) -> dict:
    """What MindSpore knows of an operator: names and types of its tensors, as op_host has
    them.
    """
    inputs, outputs = _PORTS[name]
    info = ops.CustomRegOp(name)
    for i, port in enumerate(inputs):
        info = info.input(i, port, "required")
    for i, port in enumerate(outputs):
        info = info.output(i, port, "required")
    half, integer = ops.DataType.F16_Default, ops.DataType.I32_Default
    types = [integer if port == "control" else half for port in (*inputs, *outputs)]
    return info.dtype_format(*types).target("Ascend").get_op_info()


def _custom(library: str | None, name: str, shapes, bprop=None):
    count = len(_PORTS[name][1])
    if library is None:
        return ops.Custom(
            name, shapes, (ms.float16,) * count, "aot", bprop=bprop, reg_info=_registration(name)
        )
    return ops.Custom(f"{library}:{name}", shapes, (ms.float16,) * count, "aot", bprop=bprop)


def _tails(q: list[int]) -> list[int]:
    return list(layout.tails(q[0] * q[1], q[2]))


@functools.lru_cache(None)
def operator(library: str | None = None):
    """(q (B,N,S,D), k, v (B,N,T,D) float16, control int32) -> (o, tails of the log-sums),
    differentiable in q, k and v.

    Args:
        library: a shared library with the operators for a CPU (the twin's); None: the ones built
            with CANN.
    """
    queries = _custom(library, layout.BACKWARD_QUERIES, lambda q, k, v, c, o, s, d: (s, q, q))
    keys = _custom(library, layout.BACKWARD_KEYS, lambda k, v, c, s, d, e, q: (k, v))

    def attention_910a_bprop(q, k, v, control, out, dout):
        steer = control + _powers(v, dout[0]) * _at_powers(control.shape[0])
        delta, scaled, dq = queries(q, k, v, steer, out[0], out[1], dout[0])
        dk, dv = keys(k, v, steer, out[1], dout[0], delta, scaled)
        return dq, dk, dv, ops.zeros_like(control)

    return _custom(library, layout.FORWARD, lambda q, k, v, c: (q, _tails(q)), attention_910a_bprop)


def _powers(v: Tensor, do: Tensor) -> Tensor:
    """`layout.powers` inside a graph, int32."""
    largest = ops.ReduceMax()
    bound = largest(ops.abs(v)).astype(ms.float32) * largest(ops.abs(do)).astype(ms.float32)
    bound = bound * (2.0 * v.shape[-1] / layout.LARGEST_HALF)
    powers = ops.ceil(ops.log(ops.maximum(bound, 1.0)) / math.log(2))
    return ops.minimum(powers, float(layout.MOST_POWERS)).astype(ms.int32)


@ops.constexpr
def _at_powers(length: int) -> Tensor:
    """1 where control holds the powers of two, else 0."""
    return Tensor(np.arange(length) == layout.POWERS).astype(ms.int32)


@ops.constexpr
def _control(batch, heads, keys, scale, visible) -> Tensor:
    return Tensor(layout.control(batch, heads, keys, scale, Visible(*visible)))


def attend_910a(
    kernel, q_BNSD: Tensor, k_BNTD: Tensor, v_BNTD: Tensor, scale: float, visible: tuple = ()
) -> Tensor:
    """softmax(q k^T * scale) v over the keys that `visible` leaves, for use inside `construct`.

    Args:
        kernel: `operator()`, made when the cell is.
        q_BNSD, k_BNTD, v_BNTD: float16; D up to 160, padded to a multiple of 16 here.
        visible: the fields of a `Visible`, in order; () for everything.
    """
    more = (-q_BNSD.shape[3]) % layout.STEP
    control = _control(q_BNSD.shape[0], q_BNSD.shape[1], k_BNTD.shape[2], scale, visible)
    if more == 0:
        return kernel(q_BNSD, k_BNTD, v_BNTD, control)[0]
    wide = kernel(_wider(q_BNSD, more), _wider(k_BNTD, more), _wider(v_BNTD, more), control)[0]
    return wide[..., : q_BNSD.shape[3]]


def _wider(x: Tensor, more: int) -> Tensor:
    return ops.concat((x, ops.zeros((x.shape[0], x.shape[1], x.shape[2], more), x.dtype)), -1)
