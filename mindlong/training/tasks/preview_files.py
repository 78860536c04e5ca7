"""Previews of every training: how they are sampled, and their two files, the videos side by side as
a GIF and their frames as a contact sheet.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mindlong.diffusion.finite import Row
from mindlong.diffusion.sample import sample
from mindlong.media.sheet import write_contact_sheet
from mindlong.media.write import write_video
from mindlong.utils import rng

if TYPE_CHECKING:
    from mindlong.config.preview_options import PreviewOptions
    from mindlong.diffusion.guidance import Model
    from mindlong.diffusion.noising import Noising


def drawn(
    options: PreviewOptions,
    model: Model,
    x_T: np.ndarray,
    noising: Noising,
    *,
    titles: Sequence[str],
    run: str = "",
    pure_noise: bool = True,
) -> np.ndarray:
    """A sample (B, ...) from `x_T` as the section `preview` says; its noise follows from the
    section's seed, the same at every step of the training.

    Args:
        model: the network under guidance.
        titles: of the rows.
        run: tells the runs of one preview apart, whose noise differs.
        pure_noise: as for `mindlong.diffusion.sample.sample`.
    """
    numbers = list(range(len(x_T)))
    stream = ("sample-step", run) if run else ("sample-step",)
    return sample(
        options.sample,
        model,
        x_T,
        noising,
        noise=lambda step: rng.normal_rows(numbers, x_T.shape[1:], options.seed, *stream, step),
        rows=[Row(f"preview {title!r}") for title in titles],
        pure_noise=pure_noise,
    )


def write_preview(
    folder: Path,
    step: int,
    videos_BFHWC: np.ndarray,
    titles: Sequence[str],
    fps: float,
    columns: int = 4,
) -> list[Path]:
    """Write uint8 videos of one size, each with its title; `columns` of them stand in a row of the
    GIF.
    """
    gif, sheet = folder / f"step-{step:08d}.gif", folder / f"step-{step:08d}.png"
    write_video(gif, side_by_side(videos_BFHWC, columns), fps)
    write_contact_sheet(sheet, list(videos_BFHWC), titles)
    return [gif, sheet]


def side_by_side(videos_BFHWC: np.ndarray, columns: int = 4) -> np.ndarray:
    """(B, F, H, W, C) as one video (F, rows*H, columns*W, C); missing places are black."""
    count, frames, height, width, channels = videos_BFHWC.shape
    columns = min(columns, count)
    rows = -(-count // columns)
    grid = np.zeros((rows * columns, frames, height, width, channels), np.uint8)
    grid[:count] = videos_BFHWC
    grid = grid.reshape(rows, columns, frames, height, width, channels)
    return grid.transpose(2, 0, 3, 1, 4, 5).reshape(
        frames, rows * height, columns * width, channels
    )
