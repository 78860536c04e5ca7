"""One video of each way to a long video: how much frames change, and where the object goes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mindlong.scores.long_score import changes, path_of
from mindlong.scores.worlds import WORLDS, World
from mindlong.utils import look


def plot(
    path: Path,
    videos: Sequence[tuple[str, np.ndarray]],
    shapes: tuple[str, ...],
    colours: tuple[str, ...],
    world: World = WORLDS["shapes"],
) -> None:
    """Write a PNG: change from frame to frame, and the object's way from its first place; `videos`
    are (name, FHWC uint8).
    """
    with look.plot(path, 8, 5.2, dpi=90) as figure:
        above, below = figure.subplots(2, 1, sharex=True)
        for name, frames in videos:
            above.semilogy(
                np.arange(1, len(frames)), np.maximum(changes(frames), 1e-2), lw=0.9, label=name
            )
            way = path_of(frames, shapes, colours, world)
            seen = way[np.isfinite(way).all(1)]
            below.plot(np.linalg.norm(way - (seen[0] if len(seen) else 0), axis=1), lw=0.9)
        above.set(ylabel="change of a frame, of 255")
        below.set(ylabel="way from the start, px", xlabel="frame")
        above.legend(
            ncols=len(videos), loc="upper center", bbox_to_anchor=(0.5, 1.18), frameon=False
        )
