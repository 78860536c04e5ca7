"""Prompts to one vector each, by a text encoder that stays as it is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from mindspore import Tensor, nn

from mindlong.utils.log import get_logger

SHORTEST = 16  # tokens; prompts are run at this length, twice it, ... whichever holds them


class Embedder:
    """Called with prompts it gives float32 (N, D). Equal prompts are encoded once.

    Args:
        pooled: a cell of `Text.pooled`, filled.
        tokenizer: of `Text.tokenizer`.
        positions: tokens that the encoder can read; what is longer is cut off, with a warning.
    """

    def __init__(self, pooled: nn.Cell, tokenizer: Any, positions: int) -> None:
        self.pooled, self.tokenizer, self.positions = pooled.set_train(False), tokenizer, positions
        self.known: dict[str, np.ndarray] = {}

    def __call__(self, prompts: Sequence[str]) -> np.ndarray:
        """float32 (len(prompts), D)."""
        for prompt in prompts:
            if prompt not in self.known:
                self.known[prompt] = self._one(prompt)
        return np.stack([self.known[prompt] for prompt in prompts])

    def _one(self, prompt: str) -> np.ndarray:
        needed, length = len(self.tokenizer.tokens(prompt)) + 2, SHORTEST
        while length < min(needed, self.positions):
            length *= 2
        length = min(length, self.positions)
        if needed > length:
            get_logger().warning(
                "the last %d tokens of the prompt %r are cut off; there is room for %d",
                needed - length,
                prompt,
                length - 2,
            )
        return self.pooled(Tensor(self.tokenizer([prompt], length))).asnumpy()[0]
