"""Sizes of images against what networks can take."""

from __future__ import annotations

from collections.abc import Sequence

from mindlong.utils.errors import ConfigError


def divisible(
    size: Sequence[int], factor: int, side: int = 1, key: str = "size"
) -> tuple[int, int]:
    """Height and width.

    Args:
        factor: pixels of a latent. side: latents of which both sides are multiples.
        key: what names them in the sentence.

    Raises:
        ConfigError: they are not multiples; the sentence names the nearest ones that are.
    """
    height, width = size
    step = factor * side
    if height % step or width % step:
        near = [max(round(pixels / step), 1) * step for pixels in (height, width)]
        of = "the pixels of a latent" if side == 1 else f"{side} latents of {factor} pixels"
        raise ConfigError(
            f"{key} is [{height}, {width}]; both must be multiples of {step}, {of}; the nearest is {near}"
        )
    return height, width
