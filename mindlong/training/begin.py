"""Weights that a training starts from, into its network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase

import numpy as np
from mindspore import nn

from mindlong.checkpoints.load import load_into
from mindlong.utils.log import get_logger


def begin_with(
    network: nn.Cell, arrays: Mapping[str, np.ndarray], optional: Sequence[str] = ()
) -> None:
    """Fill a network before its first step.

    Args:
        arrays: its parameters by name.
        optional: patterns of parameters that may stay as they are initialised; the log says how
            many do.

    Raises:
        InputFileError: another parameter is missing, one is left over or of another shape.
    """
    fresh = [
        p.name
        for p in network.get_parameters()
        if p.name not in arrays and any(fnmatchcase(p.name, each) for each in optional)
    ]
    load_into(network, arrays, allow=tuple(fresh), what="the weights of train.start")
    if fresh:
        get_logger().info("%d tensors start fresh, for instance %s", len(fresh), fresh[0])
