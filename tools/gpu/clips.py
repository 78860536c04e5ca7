"""Endless batches of clips of the shapes world, drawn by processes of their own."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch

from mindlong.data.shapes import Clip

Draw = Callable[[int], list[Clip]]


class Batches(torch.utils.data.Dataset):
    """Batch `number` is `draw(number)`: clips of one length, a pure function of the number."""

    def __init__(self, draw: Draw, count: int = 10_000_000):
        self.draw, self.count = draw, count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, number: int) -> tuple[torch.Tensor, list[str]]:
        clips = self.draw(number)
        frames = np.stack([clip.frames_FHWC for clip in clips])
        return torch.from_numpy(frames), [clip.caption for clip in clips]


def batches(draw: Draw, workers: int) -> Iterator[tuple[torch.Tensor, list[str]]]:
    """(frames (B, F, H, W, 3) uint8, captions) for the numbers 0, 1, 2, ... in order."""
    loader = torch.utils.data.DataLoader(
        Batches(draw),
        batch_size=None,
        num_workers=workers,
        prefetch_factor=8 if workers else None,
        pin_memory=torch.cuda.is_available(),
    )
    return iter(loader)


def pixels(frames_BFHWC: torch.Tensor, device: str) -> torch.Tensor:
    """uint8 (B, F, H, W, 3) to float32 (B, 3, F, H, W) in [-1, 1]."""
    moved = frames_BFHWC.to(device, non_blocking=True)
    return moved.permute(0, 4, 1, 2, 3).float() / 127.5 - 1
