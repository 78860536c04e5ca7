"""Masks that the host knows in whole: how many keys of a row count, and a window of whole frames.

Queries and keys are tokens of frames of `unit` tokens each, counted from the first. A query of
frame f sees the frames f - back to f + ahead; `unit` 1 gives a band of tokens, and back = FAR,
ahead = 0 the causal mask.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mindlong.utils.errors import ConfigError

FAR = 1 << 20  # as many frames as there can be


@dataclass(frozen=True)
class Visible:
    """Which keys a query sees.

    Attributes:
        key_counts: for each batch row, how many keys count, from the first; None: all.
        back, ahead: frames before and after a query's own frame that it sees; back -1: no window.
        unit: tokens of a frame.
    """

    key_counts: tuple[int, ...] | None = None
    back: int = -1
    ahead: int = 0
    unit: int = 1

    def __post_init__(self) -> None:
        if self.unit < 1 or self.back < -1 or self.ahead < 0:
            raise ConfigError(
                f"a window of {self.back} frames back and {self.ahead} ahead, of {self.unit} tokens each, is none; "
                "it needs 0 or more frames and 1 or more tokens"
            )
        if self.key_counts is not None and min(self.key_counts) < 1:
            raise ConfigError(
                f"a batch row counts {min(self.key_counts)} keys; it needs at least 1"
            )

    @property
    def banded(self) -> bool:
        """Whether there is a window."""
        return self.back >= 0

    @property
    def kind(self) -> str:
        """The kind of mask in the words of the table of backends."""
        return "band" if self.banded else "none" if self.key_counts is None else "keys"

    def spans(self, queries: int, keys: int) -> np.ndarray:
        """int64 (batch or 1, queries, 2): the first key that each query sees, and the one after the
        last.
        """
        counts = np.minimum(np.array(self.key_counts or (keys,)), keys)[:, None]
        frame = np.arange(queries)[None] // self.unit
        low = np.maximum(frame - self.back, 0) * self.unit if self.banded else np.zeros_like(frame)
        high = (frame + self.ahead + 1) * self.unit if self.banded else np.full_like(frame, keys)
        return np.stack(np.broadcast_arrays(low, np.minimum(high, counts)), -1)

    def seen(self, queries: int, keys: int) -> np.ndarray:
        """bool (batch or 1, queries, keys): True where a query sees a key."""
        span, key = self.spans(queries, keys), np.arange(keys)
        return (key >= span[..., :1]) & (key < span[..., 1:])

    def check(self, queries: int, keys: int) -> None:
        """Raise ConfigError where a query sees no key at all."""
        span = self.spans(queries, keys)
        blind = np.argwhere(span[..., 0] >= span[..., 1])
        if len(blind):
            raise ConfigError(
                f"query {blind[0][1]} of batch row {blind[0][0]} sees none of the {keys} keys: "
                "the window and the number of keys that count leave it nothing"
            )
