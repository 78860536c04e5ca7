"""Frames of files, already resized; small files are kept in memory, long ones are read again up to
what is asked for.
"""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path

import numpy as np

from mindlong.data.transforms import covering_size, resize
from mindlong.media.read import open_reader


class Decoder:
    """Decodes to the smallest size that covers `wanted` (height, width). Sequential reading only:
    seeking is not exact in every container.

    Args:
        cache_mb: memory for whole decoded files; one file takes at most a quarter of it.
    """

    def __init__(self, wanted: tuple[int, int], cache_mb: int) -> None:
        self.wanted, self.room = wanted, cache_mb * 2**20
        self._lengths: dict[str, tuple[int, float]] = {}
        self._fits: dict[str, bool] = {}
        self._kept: OrderedDict[str, np.ndarray] = OrderedDict()

    def __getstate__(self) -> dict:
        """Another process starts with an empty memory."""
        return self.__dict__ | {"_kept": OrderedDict()}

    def length(self, path: Path) -> tuple[int, float]:
        """(frames, frames a second) by reading to the end; raises InputFileError if that fails."""
        if str(path) not in self._lengths:
            self._read_all(path)
        return self._lengths[str(path)]

    def frames(self, path: Path, numbers: np.ndarray) -> np.ndarray:
        """(len(numbers), H, W, 3) uint8; raises InputFileError if the file breaks before the last
        of them.
        """
        self.length(path)
        whole = self._kept.get(str(path))
        if whole is None and self._fits[str(path)]:
            whole = self._read_all(path)
        if whole is not None:
            self._kept.move_to_end(str(path))
            return whole[numbers]
        return self._read_some(path, numbers)

    def _read_all(self, path: Path) -> np.ndarray | None:
        """Count, and keep what is read if it is not too much."""
        kept, count = [], 0
        with open_reader(path) as reader:
            size = covering_size(reader.size, self.wanted)
            most = self.room // 4 // (3 * size[0] * size[1])
            for frame in reader:
                count += 1
                if count <= most:
                    kept.append(resize(frame, size))
            self._lengths[str(path)] = count, reader.fps
        self._fits[str(path)] = count <= most
        if count > most:
            return None
        self._kept[str(path)] = np.stack(kept)
        while sum(v.nbytes for v in self._kept.values()) > self.room:
            self._kept.popitem(
                last=False
            )  # the least lately used; the newest is a quarter of the room at most
        return self._kept[str(path)]

    def _read_some(self, path: Path, numbers: np.ndarray) -> np.ndarray:
        wanted, found = set(numbers.tolist()), {}
        with open_reader(path) as reader:
            size = covering_size(reader.size, self.wanted)
            for number, frame in enumerate(reader):
                if number in wanted:
                    found[number] = resize(frame, size)
                if number >= max(wanted):
                    break
        return np.stack([found[n] for n in numbers.tolist()])
