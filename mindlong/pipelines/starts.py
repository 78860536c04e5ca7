"""Noise to start from out of a file. Without MindSpore."""

from __future__ import annotations

import numpy as np

from mindlong.utils import arrays
from mindlong.utils.errors import ConfigError


def read_start(path: str, count: int, shape_CFhw: tuple[int, ...]) -> np.ndarray:
    """The array x_T of an .npz as (count, C, F, h, w) float32.

    Raises:
        InputFileError: no such file, no .npz, no such array, or not finite. ConfigError: an array
            of another shape.
    """
    key = "text_to_video.start"
    found = arrays.read_given(path, "x_T", key)
    found = found[None] if found.ndim == 4 else found
    if found.shape[1:] != tuple(shape_CFhw) or len(found) < count or found.dtype.kind != "f":
        raise ConfigError(
            f"{key}: x_T of {path} is {found.dtype} {found.shape}; this run needs floats of the shape "
            f"{(count, *shape_CFhw)}"
        )
    return found[:count].astype(np.float32)
