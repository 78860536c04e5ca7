"""The C++ operators as differentiable MindSpore operators, for use inside `construct`.

Each factory returns one cached `ops.Custom` object. MindSpore reads the source of a `bprop`, so
those are plain functions, and the names of their last arguments (`out`, `dout`) are its convention.
It keeps one backward graph for each function name, so forms with another number of inputs have
names of their own.
"""

from __future__ import annotations

import functools

import mindspore as ms
import numpy as np
from mindspore import Tensor, ops

from mindlong.ops.native.build import library


def _custom(name, shape, count, bprop=None):
    """The function `name` with `count` float32 outputs; `shape` maps input shapes to output
    shapes.
    """
    from mindlong.ops.device import threads

    dtype = ms.float32 if count == 1 else (ms.float32,) * count
    made = ops.Custom(f"{library(threads())}:{name}", shape, dtype, "aot", bprop=bprop)
    # PyNative remembers shapes by attributes: without this, strides 1 and 2 of the same inputs
    # would share theirs
    made.add_prim_attr("instance", f"{name} {id(made)}")
    return made


def constant(values, dtype=ms.float32) -> Tensor:
    """A small tensor of scalars for a kernel."""
    return Tensor(np.asarray(values), dtype)


@functools.lru_cache(None)
def silu():
    """x -> x * sigmoid(x)."""
    backward = _custom("nk_silu_bwd", lambda x, d: x, 1)

    def bprop(x, out, dout):
        return (backward(x, dout),)

    return _custom("nk_silu", lambda x: x, 1, bprop)


@functools.lru_cache(None)
def gelu():
    """x -> x * Phi(x), exact to 1.5e-7."""
    backward = _custom("nk_gelu_bwd", lambda x, d: x, 1)

    def bprop(x, out, dout):
        return (backward(x, dout),)

    return _custom("nk_gelu", lambda x: x, 1, bprop)


@functools.lru_cache(None)
def geglu():
    """x (.., 2D) -> x[.., :D] * gelu(x[.., D:])."""
    backward = _custom("nk_geglu_bwd", lambda x, d: x, 1)

    def bprop(x, out, dout):
        return (backward(x, dout),)

    return _custom("nk_geglu", lambda x: [*x[:-1], x[-1] // 2], 1, bprop)


@functools.lru_cache(None)
def exchange():
    """x (N, A, B, I) -> (N, B, A, I)."""
    backward = _custom("nk_exchange", lambda d: [d[0], d[2], d[1], d[3]], 1)

    def bprop(x, out, dout):
        return (backward(dout),)

    return _custom("nk_exchange", lambda x: [x[0], x[2], x[1], x[3]], 1, bprop)


@functools.lru_cache(None)
def add_channels():
    """(x (R,C,..), a (R,C)) -> x with a[r, c] added to all of x[r, c]."""
    backward = _custom("nk_add_channels_bwd", lambda d: d[:2], 1)

    def bprop(x, a, out, dout):
        return dout, backward(dout)

    return _custom("nk_add_channels", lambda x, a: x, 1, bprop)


@functools.lru_cache(None)
def modulate():
    """(x (B,L,D), scale (B,D), shift (B,D)) -> x (1 + scale) + shift."""
    backward = _custom("nk_modulate_bwd", lambda x, s, d: (x, s, s), 3)

    def bprop(x, scale, shift, out, dout):
        return backward(x, scale, dout)

    return _custom("nk_modulate", lambda x, s, m: x, 1, bprop)


@functools.lru_cache(None)
def gated():
    """(x (B,L,D), y (B,L,D), gate (B,D)) -> x + gate y."""
    backward = _custom("nk_gated_bwd", lambda y, g, d: (y, g), 2)

    def bprop(x, y, gate, out, dout):
        dy, dgate = backward(y, gate, dout)
        return dout, dy, dgate

    return _custom("nk_gated", lambda x, y, g: x, 1, bprop)


@functools.lru_cache(None)
def rms_last():
    """(x (..,D), weight (D), eps (1)) -> (x over the root of its mean square, times weight; the
    inverse root).
    """
    backward = _custom("nk_rms_last_bwd", lambda x, g, r, d: (x, g), 2)

    def bprop(x, gamma, eps, out, dout):
        dx, dg = backward(x, gamma, out[1], dout[0])
        return dx, dg, ops.zeros_like(eps)

    return _custom("nk_rms_last", lambda x, g, e: (x, x[:-1]), 2, bprop)


@functools.lru_cache(None)
def group_norm(groups, act=False, film=False):
    """(x (R,C,..), weight, bias[, scale (B,C), shift (B,C)], (eps[, frames])) -> (y, mean, rstd).

    With `frames`, that many rows share their statistics, their scale and their shift, B = R /
    frames; else B = R.
    """
    name = "nk_gn" + "_film" * film + "_silu" * act
    if film:
        backward = _custom(name + "_bwd", lambda x, g, b, sc, sh, e, m, r, d: (x, g, b, sc, sh), 5)

        def bprop(x, gamma, beta, scale, shift, eps, out, dout):
            dx, dg, db, dsc, dsh = backward(
                x, gamma, beta, scale, shift, eps, out[1], out[2], dout[0]
            )
            return dx, dg, db, dsc, dsh, ops.zeros_like(eps)

        return _custom(
            name, lambda x, g, b, sc, sh, e: (x, [x[0], groups], [x[0], groups]), 3, bprop
        )
    backward = _custom(name + "_bwd", lambda x, g, b, e, m, r, d: (x, g, b), 3)

    def bprop(x, gamma, beta, eps, out, dout):
        dx, dg, db = backward(x, gamma, beta, eps, out[1], out[2], dout[0])
        return dx, dg, db, ops.zeros_like(eps)

    return _custom(name, lambda x, g, b, e: (x, [x[0], groups], [x[0], groups]), 3, bprop)


@functools.lru_cache(None)
def layer_norm():
    """(x (.., D), weight, bias, eps (1)) -> (y, mean, rstd)."""
    backward = _custom("nk_ln_bwd", lambda x, g, m, r, d: (x, g, g), 3)

    def bprop(x, gamma, beta, eps, out, dout):
        dx, dg, db = backward(x, gamma, out[1], out[2], dout[0])
        return dx, dg, db, ops.zeros_like(eps)

    return _custom("nk_ln", lambda x, g, b, e: (x, x[:-1], x[:-1]), 3, bprop)


@functools.lru_cache(None)
def channel_norm():
    """(x (R,C,..), gamma (C), eps (1)) -> (y, mean, rstd), normalised over axis 1."""
    backward = _custom("nk_cn_bwd", lambda x, g, m, r, d: (x, g), 2)

    def bprop(x, gamma, eps, out, dout):
        dx, dg = backward(x, gamma, out[1], out[2], dout[0])
        return dx, dg, ops.zeros_like(eps)

    return _custom("nk_cn", lambda x, g, e: (x, [x[0]] + x[2:], [x[0]] + x[2:]), 3, bprop)


@functools.lru_cache(None)
def rms_norm(act=False, film=False):
    """(x (R,C,..), gamma (C)[, scale (B,C), shift (B,C)]) -> (y, inverse norm)."""
    name = "nk_rms" + "_film" * film + "_silu" * act
    if film:
        backward = _custom(name + "_bwd", lambda x, g, sc, sh, i, d: (x, g, sc, sh), 4)

        def bprop(x, gamma, scale, shift, out, dout):
            return backward(x, gamma, scale, shift, out[1], dout[0])

        return _custom(name, lambda x, g, sc, sh: (x, [x[0]] + x[2:]), 2, bprop)
    backward = _custom(name + "_bwd", lambda x, g, i, d: (x, g), 2)

    def bprop(x, gamma, out, dout):
        return backward(x, gamma, out[1], dout[0])

    return _custom(name, lambda x, g: (x, [x[0]] + x[2:]), 2, bprop)


@functools.lru_cache(None)
def conv(stride, pad, bias=True):
    """(x, w[, b], cfg) -> y; stride and pad are tuples (symmetric padding), cfg their int64
    constant.
    """
    n = len(stride)

    def shape(x, w):
        return [x[0], w[0]] + [
            (x[2 + i] + 2 * pad[i] - w[2 + i]) // stride[i] + 1 for i in range(n)
        ]

    if bias:
        backward = _custom("nk_conv_bwd", lambda x, w, d, c: (x, w, [w[0]]), 3)

        def bprop(x, w, b, cfg, out, dout):
            dx, dw, db = backward(x, w, dout, cfg)
            return dx, dw, db, ops.zeros_like(cfg)

        return _custom("nk_conv", lambda x, w, b, c: shape(x, w), 1, bprop)
    backward = _custom("nk_conv_free_bwd", lambda x, w, d, c: (x, w), 2)

    def bprop(x, w, cfg, out, dout):
        dx, dw = backward(x, w, dout, cfg)
        return dx, dw, ops.zeros_like(cfg)

    return _custom("nk_conv_free", lambda x, w, c: shape(x, w), 1, bprop)


@functools.lru_cache(None)
def frames_conv():
    """(x (B*F,I,..), w (O,I,3), b, int64 (frames)) -> (B*F,O,..): over the frames of folded rows; I
    and O multiples of 16.
    """
    backward = _custom("nk_frames_conv_bwd", lambda x, w, d, c: (x, w, [w[0]]), 3)

    def bprop(x, w, b, cfg, out, dout):
        dx, dw, db = backward(x, w, dout, cfg)
        return dx, dw, db, ops.zeros_like(cfg)

    return _custom("nk_frames_conv", lambda x, w, b, c: [x[0], w[0], *x[2:]], 1, bprop)


@functools.lru_cache(None)
def deconv(stride, pad):
    """(x, w (I,O,..), b, cfg) -> y: transposed convolution."""
    n = len(stride)
    backward = _custom("nk_deconv_bwd", lambda x, w, d, c: (x, w, [w[1]]), 3)

    def bprop(x, w, b, cfg, out, dout):
        dx, dw, db = backward(x, w, dout, cfg)
        return dx, dw, db, ops.zeros_like(cfg)

    def shape(x, w, b, c):
        return [x[0], w[1]] + [(x[2 + i] - 1) * stride[i] - 2 * pad[i] + w[2 + i] for i in range(n)]

    return _custom("nk_deconv", shape, 1, bprop)


def conv_constant(stride, pad) -> Tensor:
    """Strides, padding before, padding after, as the convolution kernels read them."""
    return constant([*stride, *pad, *pad], ms.int64)


@functools.lru_cache(None)
def linear(bias=True):
    """(x (M, K), w (N, K)[, b (N)]) -> x w^T + b (M, N); K and N are multiples of 16."""
    if bias:
        backward = _custom("nk_linear_bwd", lambda x, w, d: (x, w, [w[0]]), 3)

        def bprop(x, w, b, out, dout):
            return backward(x, w, dout)

        return _custom("nk_linear", lambda x, w, b: [x[0], w[0]], 1, bprop)
    backward = _custom("nk_linear_free_bwd", lambda x, w, d: (x, w), 2)

    def bprop(x, w, out, dout):
        return backward(x, w, dout)

    return _custom("nk_linear_free", lambda x, w: [x[0], w[0]], 1, bprop)


@functools.lru_cache(None)
def temporal(heads):
    """(qkv (B*F, 3*N*D, ..), cos (F,E), sin (F,E), bias (B|1,N,F,F), scale (1)) -> (B*F, N*D,
    ..).
    """
    backward = _custom("nk_temporal_bwd", lambda x, c, s, b, a, d: (x, b), 2)

    def bprop(qkv, cos, sin, bias, scale, out, dout):
        dqkv, dbias = backward(qkv, cos, sin, bias, scale, dout)
        return dqkv, ops.zeros_like(cos), ops.zeros_like(sin), dbias, ops.zeros_like(scale)

    return _custom("nk_temporal", lambda x, c, s, b, a: [x[0], x[1] // 3, *x[2:]], 1, bprop)


@functools.lru_cache(None)
def linear_attention():
    """(qkv (R, 3*N*D, ..), (scale, D)) -> (R, N*D, ..)."""
    backward = _custom("nk_linear_attention_bwd", lambda x, c, d: x, 1)

    def bprop(qkv, cfg, out, dout):
        return backward(qkv, cfg, dout), ops.zeros_like(cfg)

    return _custom("nk_linear_attention", lambda x, c: [x[0], x[1] // 3, *x[2:]], 1, bprop)


@functools.lru_cache(None)
def flash(heads=0, bias=False):
    """Attention in blocks: (q, k, v, index int32 (blocks, frames), scale (1), cfg int64[, bias]) ->
    (out, log-sums).

    `heads` 0: tensors (B, N, S, D), else (.., N*D) with that many heads; cfg as in flash_layout.h.
    The bias, index, scale and cfg get no gradient.
    """

    def shape(q, k, v, i, s, c, b=None):
        return q, [*q[:-1], heads] if heads else q[:-1]

    if bias:
        backward = _custom("nk_flash_bias_bwd", lambda q, k, v, i, s, c, b, o, m, d: (q, k, v), 3)

        def bprop(q, k, v, index, scale, cfg, bias, out, dout):
            dq, dk, dv = backward(q, k, v, index, scale, cfg, bias, out[0], out[1], dout[0])
            return (
                dq,
                dk,
                dv,
                ops.zeros_like(index),
                ops.zeros_like(scale),
                ops.zeros_like(cfg),
                ops.zeros_like(bias),
            )

        return _custom("nk_flash_bias", shape, 2, bprop)
    backward = _custom("nk_flash_bwd", lambda q, k, v, i, s, c, o, m, d: (q, k, v), 3)

    def bprop(q, k, v, index, scale, cfg, out, dout):
        dq, dk, dv = backward(q, k, v, index, scale, cfg, out[0], out[1], dout[0])
        return dq, dk, dv, ops.zeros_like(index), ops.zeros_like(scale), ops.zeros_like(cfg)

    return _custom("nk_flash", shape, 2, bprop)
