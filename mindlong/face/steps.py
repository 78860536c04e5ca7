"""What a program is told while a video is made."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mindlong.utils import progress

Decode = Callable[[np.ndarray], np.ndarray]  # a batch's clean samples (B, C, F, h, w) -> frames


@dataclass(frozen=True)
class Step:
    """One denoising step that is done.

    Attributes:
        number, total: it is the `number`-th of `total` of this batch; a long video takes several
            batches.
        clean: float32 (B, C, F, h, w), what the network takes the finished sample for by now.
    """

    number: int
    total: int
    clean: np.ndarray = field(repr=False)
    _decode: Decode = field(repr=False)

    def preview(self) -> np.ndarray:
        """`clean` as frames, uint8 (B, F, H, W, 3); decoded only when asked for."""
        return self._decode(self.clean)


class Follower(AbstractContextManager):
    """The callback of a call: moves a bar, and tells the program's own.

    Args:
        callback: takes a Step; None: nobody is told.
        decode: makes previews.
        quiet: no bar.
    """

    def __init__(
        self, callback: Callable[[Step], Any] | None, decode: Decode, quiet: bool = False
    ) -> None:
        self.callback, self.decode, self.quiet = callback, decode, quiet
        self.bar: Any = None

    def __call__(self, number: int, total: int, clean: np.ndarray) -> None:
        """A step is done; the video goes on whatever the program's callback returns."""
        if self.bar is None:
            self.bar = progress.bar(total, "denoising", rank=int(self.quiet))
        self.bar.update(1)
        if number >= total:
            self._close()
        if self.callback is not None:
            self.callback(Step(number, total, clean, self.decode))

    def __exit__(self, *error: object) -> None:
        self._close()

    def _close(self) -> None:
        if self.bar is not None:
            self.bar.close()
            self.bar = None
