"""Frames into the files that a configuration asks for."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from mindlong.media.sheet import sampled
from mindlong.media.write import FrameFolder, open_writer

ENCODED = ("mp4", "gif", "webm", "webp")
COLUMNS = 8  # frames of a video on a contact sheet


def write_files(
    folder: Path,
    stem: str,
    frames: Iterable[np.ndarray],
    formats: Iterable[str],
    fps: float,
    scale: int = 1,
    comment: str = "",
    gif_mb: float = 0.0,
) -> list[Path]:
    """Stream uint8 frames (H, W, 3) into one file for each of `formats` (mp4, gif, webm, webp,
    frames; png is no video). `comment` is kept in each; `gif_mb`: as `open_writer` takes it.

    Every file is whole or absent; existing ones are replaced, a folder of frames too, if nothing
    else is in it. Returns what was written.

    Raises:
        UserError: the folder of frames holds other files. SystemFault: the disk is full, ...
    """
    paths = [folder / f"{stem}.{kind}" for kind in formats if kind in ENCODED]
    with contextlib.ExitStack() as stack:
        writers = [stack.enter_context(open_writer(path, fps, comment, gif_mb)) for path in paths]
        if "frames" in formats:
            paths.append(folder / stem)
            kept = FrameFolder(folder / stem, fps, replace=True, comment=comment)
            writers.append(stack.enter_context(kept))
        for frame in frames:
            large = frame.repeat(scale, axis=0).repeat(scale, axis=1)
            for writer in writers:
                writer.append(large)
    return paths


def tapped(
    frames: Iterable[np.ndarray], count: int, kept: list[np.ndarray], columns: int = COLUMNS
) -> Iterator[np.ndarray]:
    """Pass `count` frames on, leaving those that a contact sheet shows in `kept`."""
    wanted = set(sampled(count, columns).tolist())
    for number, frame in enumerate(frames):
        if number in wanted:
            kept.append(frame)
        yield frame
