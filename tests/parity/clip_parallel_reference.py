"""Clip-parallel layers in numpy float64, dense and over the whole video, written from the
definitions alone.
"""

from __future__ import annotations

import numpy as np

from mindlong.plans.dual_scope import ZERO, Reads, Tuning

PLAIN = Tuning()


def seeded(seed: int, *shape: int) -> np.ndarray:
    return np.random.RandomState(seed).standard_normal(shape)


def softmax(scores: np.ndarray) -> np.ndarray:
    e = np.exp(scores - scores.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def attention(
    x_BFC, q, k, v, out, bias, heads: int, reads: Reads, tuning: Tuning = PLAIN, t: int = 0
) -> np.ndarray:
    """Attention over frames, frame by frame; weights are (out, in)."""
    batch, frames, width = x_BFC.shape
    padded = np.concatenate([x_BFC, np.zeros_like(x_BFC[:, :1])], 1)  # frame ZERO = -1 is the last

    def split(y, rows):
        return y.reshape(batch, rows, heads, width // heads).transpose(0, 2, 1, 3)

    Q, K, V = (
        split(x_BFC @ q.T, frames),
        split(padded @ k.T, frames + 1),
        split(padded @ v.T, frames + 1),
    )
    factors, biases, made = reads.factors(tuning), tuning.biases(t), []
    for f in range(frames):
        keys = reads.keys[f]
        scores = (
            Q[:, :, f : f + 1]
            @ K[:, :, keys].transpose(0, 1, 3, 2)
            * float(factors[f])
            / np.sqrt(width // heads)
        )
        made.append(softmax(scores + reads.log_weights(f, biases)) @ V[:, :, keys])
    return np.concatenate(made, 2).transpose(0, 2, 1, 3).reshape(x_BFC.shape) @ out.T + bias


def every_frame(frames: int) -> Reads:
    """The table of an attention over all frames."""
    ones, keys = np.ones(frames, np.int32), np.arange(frames)
    return Reads((keys,) * frames, (ones,) * frames, (ones * 0,) * frames)


def group_norm(x_FCHW, weight, bias, groups: int, eps: float = 1e-5) -> np.ndarray:
    """Over all frames together."""
    frames, channels = x_FCHW.shape[:2]
    grouped = x_FCHW.reshape(frames, groups, -1).transpose(1, 0, 2).reshape(groups, -1)
    mean, var = grouped.mean(1), grouped.var(1)
    spread = np.repeat(np.stack([mean, var]), channels // groups, 1)[:, None, :, None, None]
    return (x_FCHW - spread[0]) / np.sqrt(spread[1] + eps) * weight[:, None, None] + bias[
        :, None, None
    ]


def conv(x_FCHW, weight_OI3, bias) -> np.ndarray:
    """Over frames, zeros beyond the ends."""
    padded = np.pad(x_FCHW, ((1, 1), (0, 0), (0, 0), (0, 0)))
    taps = [
        np.einsum("oi,fihw->fohw", weight_OI3[:, :, i], padded[i : i + len(x_FCHW)])
        for i in range(3)
    ]
    return sum(taps) + bias[:, None, None]


def stack(x_FCHW, parameters, groups: int) -> np.ndarray:
    """Four times norm, SiLU, convolution. `parameters`: (norm weight, norm bias, conv weight, conv
    bias) of each.
    """
    for gamma, beta, weight, bias in parameters:
        y = group_norm(x_FCHW, gamma, beta, groups)
        x_FCHW = conv(y / (1 + np.exp(-y)), weight, bias)
    return x_FCHW


def conv_layer(x_FCHW, parameters, groups: int, ranks: int, padding: int = 4) -> np.ndarray:
    """The original's shipped form: each rank's frames with `padding` more on each side, zeros
    beyond the ends.
    """
    padded = np.pad(x_FCHW, ((padding, padding), (0, 0), (0, 0), (0, 0)))
    each, made = len(x_FCHW) // ranks, []
    for rank in range(ranks):
        chunk = stack(padded[rank * each : (rank + 1) * each + 2 * padding], parameters, groups)
        made.append(chunk[padding : padding + each])
    return x_FCHW + np.concatenate(made)


assert ZERO == -1
