"""States of captions for a training whose text encoder is larger than the network and stays as it
is: each caption is encoded once, before the first step, and kept in the user's cache folder.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from mindspore import Tensor

from mindlong.checkpoints.identity import identity
from mindlong.checkpoints.parts import Part, Reading
from mindlong.checkpoints.text_states import TextStates
from mindlong.networks.network import made
from mindlong.utils.progress import bar

MOST = 512  # captions whose states are in memory


class TextTable:
    """Captions to states.

    Args:
        weights: what names the encoder's weights. part: the encoder. tokenizer: its tokenizer.
    """

    def __init__(self, weights: str, part: Part, tokenizer: Any) -> None:
        self.part, self.tokenizer = part, tokenizer
        self.states = TextStates(identity(weights)["sha256"])
        self.held: dict[str, np.ndarray] = {}
        self._encoder: Any = None

    def prepare(self, captions: Iterable[str]) -> None:
        """Encode what is not kept yet, then let the encoder go."""
        wanted = list(dict.fromkeys(["", *captions]))
        with bar(len(wanted), "encoding captions", unit="caption") as shown:
            for caption in wanted:
                self._one(caption)
                shown.update(1)
        self._encoder = None

    def __call__(self, captions: Sequence[str]) -> np.ndarray:
        """float32 (B, S, D)."""
        return np.stack([self._one(caption) for caption in captions])

    def _one(self, caption: str) -> np.ndarray:
        if caption in self.held:
            return self.held[caption]
        ids = self.tokenizer([caption])
        found = self.states.find(ids)
        if found is None:
            found = self._encode(ids)
            self.states.keep(ids, found)
        if len(self.held) < MOST:
            self.held[caption] = found
        return found

    def _encode(self, ids: np.ndarray) -> np.ndarray:
        if self._encoder is None:
            self._encoder = made(self.part.network.text.layered)(self.part.spec, Reading(self.part))
        return self._encoder(Tensor(ids)).asnumpy()[0]
