"""What a large text encoder gave for prompts, kept in the user's cache folder: encoding a prompt
again would read all its weights again.

A file is known by the content of the weights and the token ids, so that nothing has to be cleared.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np

from mindlong.utils import arrays
from mindlong.utils.trust import distrust
from mindlong.utils.user_cache import cache_folder

FOLDER = "texts"  # in the user's cache folder


class TextStates:
    """States of prompts by their ids.

    Args:
        content: what the encoder's weights are, by their content.
    """

    def __init__(self, content: str) -> None:
        self.content = content

    def find(self, ids_1S: np.ndarray) -> np.ndarray | None:
        """The states (S, D) of a prompt, float32; None where they are not kept, or not whole."""
        place = self._place(ids_1S)
        if not place.is_file() or distrust(place):
            return None
        try:
            return arrays.read_npz(place, ["states"])["states"]
        except arrays.Damaged:
            return None

    def keep(self, ids_1S: np.ndarray, states_SD: np.ndarray) -> None:
        """Keep the states; a cache that cannot be written costs time, nothing else."""
        place = self._place(ids_1S)
        try:
            place.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            if not distrust(place):
                arrays.write_npz(place, states=states_SD)
        except OSError:
            return

    def _place(self, ids_1S: np.ndarray) -> Path:
        said = self.content.encode() + np.ascontiguousarray(ids_1S, np.int32).tobytes()
        return cache_folder() / FOLDER / f"{hashlib.sha256(said).hexdigest()[:40]}.npz"
