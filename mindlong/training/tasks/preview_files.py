"""The two files of a preview: the videos side by side as a GIF, and their frames as a contact
sheet.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mindlong.media.sheet import write_contact_sheet
from mindlong.media.write import write_video


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
