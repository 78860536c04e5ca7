"""What the `make` of a pipeline gives: videos one by one, their frames as they come.

A pipeline's `make(models, config, callback)` is lazy and writes nothing. Its `run` makes the same
from the same parts, and writes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Made:
    """A video whose latents are there, and whose frames are made as they are asked for.

    Attributes:
        title: what it shows, in a line.
        number: of the video among those of one seed.
        frames: uint8 (H, W, 3), `count` of them; taken once.
        fps: frames per second.
        latents: gives them all, float32 (C, F, h, w); None where the network works in pixels.
    """

    title: str
    number: int
    frames: Iterator[np.ndarray]
    count: int
    fps: float
    latents: Callable[[], np.ndarray] | None = None
