"""Noise to start from out of a file. Without MindSpore."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mindlong.utils.errors import ConfigError, InputFileError


def read_start(path: str, count: int, shape_CFhw: tuple[int, ...]) -> np.ndarray:
    """The array x_T of an .npz as (count, C, F, h, w) float32.

    Raises:
        InputFileError: no such file, no .npz, or no such array. ConfigError: an array of another
            shape.
    """
    key = "text_to_video.start"
    if not Path(path).is_file():
        raise InputFileError(f"{key}: no file at {path}")
    try:
        with np.load(path, allow_pickle=False) as held:
            found = held["x_T"]
    except KeyError:
        raise InputFileError(f"{key}: {path} has no array x_T") from None
    except (ValueError, OSError, EOFError) as error:
        raise InputFileError(f"{key}: {path} is not an .npz of plain arrays ({error})") from None
    found = found[None] if found.ndim == 4 else found
    if found.shape[1:] != tuple(shape_CFhw) or len(found) < count or found.dtype.kind != "f":
        raise ConfigError(
            f"{key}: x_T of {path} is {found.dtype} {found.shape}; this run needs floats of the shape "
            f"{(count, *shape_CFhw)}"
        )
    return found[:count].astype(np.float32)
