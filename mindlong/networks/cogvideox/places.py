"""The table of places that CogVideoX-2B adds to the tokens of a video: sines of the frame, the
column and the row. It is not stored in files; each size gets one of its own.

A row is [frame: width / 4 | column: 3 width / 8 | row: 3 width / 8], each part sines, then cosines,
in float64. The parts depend on one coordinate each, so they are made apart and joined by the cell.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from mindlong.networks.cogvideox.spec import CogVideoXSpec


def waves(width: int, places: np.ndarray) -> np.ndarray:
    """float64 (len(places), width): sin, then cos, of places * 10000^(-j / (width / 2))."""
    half = width // 2
    angles = np.asarray(places, np.float64)[:, None] * 10000.0 ** (-np.arange(half) / half)
    return np.concatenate([np.sin(angles), np.cos(angles)], axis=1)


def parts(spec: CogVideoXSpec, frames: int, height: int, width: int) -> tuple[np.ndarray, ...]:
    """What frames (F, D/4), columns (w, 3D/8) and rows (h, 3D/8) add, float32.

    Args:
        frames, height, width: of the latents, in patches for the last two.
    """
    side = spec.width // 8 * 3
    time = of_frames(spec, np.arange(frames))
    column, row = _side(spec, side, width, 2), _side(spec, side, height, 1)
    return time, column.astype(np.float32), row.astype(np.float32)


def of_frames(spec: CogVideoXSpec, places_F: np.ndarray) -> np.ndarray:
    """What frames at these places add, float32 (F, D/4)."""
    scaled = np.asarray(places_F, np.float32) / np.float32(spec.temporal_scale)
    return waves(spec.width // 4, scaled).astype(np.float32)


def _side(spec: CogVideoXSpec, numbers: int, count: int, axis: int) -> np.ndarray:
    trained = spec.sample[axis] // spec.patch
    length = trained if spec.places == "resized" else count
    table = waves(numbers, np.arange(length, dtype=np.float32) / np.float32(spec.spatial_scale))
    return resized(table, count) if length != count else table


def resized(table: np.ndarray, count: int) -> np.ndarray:
    """(n, D) -> (count, D) by straight lines, corners not aligned."""
    length = len(table)
    at = np.clip((np.arange(count) + 0.5) * length / count - 0.5, 0, length - 1)
    low = np.floor(at).astype(int)
    high, share = np.minimum(low + 1, length - 1), (at - low)[:, None]
    return table[low] * (1 - share) + table[high] * share
