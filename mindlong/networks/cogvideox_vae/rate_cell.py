"""Half and twice the frames of a chunk, by the rule of CogVideoX's autoencoder.

Legend: F frames of a chunk, C channels, H W pixels.
"""

from __future__ import annotations

from mindspore import Tensor, ops


def halved(x_FCHW: Tensor) -> Tensor:
    """Means of two frames; the first of an odd number stays."""
    frames, *size = x_FCHW.shape
    alone = frames % 2
    if frames == 1:
        return x_FCHW
    pairs = x_FCHW[alone:].reshape((frames // 2, 2, *size))
    mean = 0.5 * (pairs[:, 0] + pairs[:, 1])
    return ops.concat((x_FCHW[:1], mean), 0) if alone else mean


def doubled(x_FCHW: Tensor) -> Tensor:
    """Every frame twice; the first of an odd number, and one alone, once."""
    frames, *size = x_FCHW.shape
    alone = frames % 2
    if frames == 1:
        return x_FCHW
    rest = x_FCHW[alone:].expand_dims(1)
    twice = ops.concat((rest, rest), 1).reshape((2 * (frames - alone), *size))
    return ops.concat((x_FCHW[:1], twice), 0) if alone else twice
