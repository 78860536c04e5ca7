"""What is timed: names and sizes, known to every peer."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Work:
    """One row of the table. `group` is what the command line asks for, `kind` forward or train."""

    group: str
    kind: str
    shape: tuple[int, ...]  # (B, C, F, H, W)
    dim: int = 64
    dim_mults: tuple[int, ...] = (1, 2, 4, 8)

    @property
    def name(self) -> str:
        """The row's name."""
        size = "x".join(map(str, self.shape[2:]))
        what = "forward" if self.kind == "forward" else "train step"
        return f"Unet3D dim {self.dim}, {size}: {what}"


WORKS = (
    Work("unet3d", "forward", (1, 3, 10, 64, 64)),
    Work("unet3d", "train", (1, 3, 10, 64, 64)),
    Work("unet3d_small", "forward", (2, 3, 8, 24, 24), 32, (1, 2, 4)),
    Work("unet3d_small", "train", (2, 3, 8, 24, 24), 32, (1, 2, 4)),
)
