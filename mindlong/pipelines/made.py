"""What the `make` of a pipeline gives: videos one by one, their frames as they come.

A pipeline's `make(models, config, callback)` is lazy and writes nothing. Its `run` makes the same
from the same parts, and writes.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from mindlong.pipelines.clips import Clip
    from mindlong.pipelines.latent_model import LatentModel


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


def made_of(
    model: LatentModel,
    clips: Sequence[Clip],
    latents: Sequence[np.ndarray],
    frames: int,
    fps: float,
) -> Iterator[Made]:
    """A batch of clips, each once, from their latents (C, F, h, w).

    Args:
        frames: of each that are kept, from the first.
    """
    each = {clip.name: (clip, held) for clip, held in zip(clips, latents, strict=True)}
    for clip, held in each.values():
        decoded = model.decode(held[:, :frames] if frames < held.shape[1] else held)
        yield Made(clip.title, clip.number, decoded, frames, fps, functools.partial(_same, held))


def _same(held: np.ndarray) -> np.ndarray:
    return held
