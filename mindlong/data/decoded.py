"""Frames of files, already resized; small files are kept in memory, long ones are read again up to
what is asked for.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from mindlong.data.transforms import covering_size, resize
from mindlong.media.colours import Colour
from mindlong.media.limits import LIMITS
from mindlong.media.read import VideoReader, open_reader
from mindlong.utils.errors import InputFileError
from mindlong.utils.shown import shown

Heard = Callable[[str], None]


class Decoder:
    """Decodes to the smallest size that covers `wanted` (height, width). Sequential reading only:
    seeking is not exact in every container.

    Args:
        cache_mb: memory for whole decoded files; one file takes at most a quarter of it.
        background: what shows where a file is transparent; None: as everywhere.

    Attributes:
        progress: called with a file's path for every frame read of it.
        notes: what was said of each file read to its end.
    """

    def __init__(
        self, wanted: tuple[int, int], cache_mb: int, background: Colour | None = None
    ) -> None:
        self.wanted, self.room, self.background = wanted, cache_mb * 2**20, background
        self.progress: Heard | None = None
        self.notes: dict[str, tuple[str, ...]] = {}
        self._lengths: dict[str, tuple[int, float]] = {}
        self._fits: dict[str, bool] = {}
        self._kept: OrderedDict[str, np.ndarray] = OrderedDict()

    def __getstate__(self) -> dict:
        """Another process starts with an empty memory."""
        return self.__dict__ | {"_kept": OrderedDict(), "progress": None}

    def length(self, path: Path) -> tuple[int, float]:
        """(frames, frames a second) by reading to the end; raises InputFileError if that fails."""
        if str(path) not in self._lengths:
            self._read_all(path)
        return self._lengths[str(path)]

    def frames(self, path: Path, numbers: np.ndarray) -> np.ndarray:
        """(len(numbers), H, W, 3) uint8; raises InputFileError if the file breaks before the last
        of them.
        """
        count, _ = self.length(path)
        if numbers.max() >= count:
            raise InputFileError(
                f"{shown(path)} has {count} frames; frame {numbers.max()} is asked for"
            )
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
        with open_reader(path, background=self.background, say=False) as reader:
            size = self._size(reader)
            most = self.room // 4 // (3 * size[0] * size[1])
            for frame in self._heard(reader):
                count += 1
                if count <= most:
                    kept.append(resize(frame, size))
            self._lengths[str(path)] = count, reader.fps
            self.notes[str(path)] = tuple(reader.notes)
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
        with open_reader(path, background=self.background, say=False) as reader:
            size = self._size(reader)
            for number, frame in enumerate(self._heard(reader)):
                if number in wanted:
                    found[number] = resize(frame, size)
                if number >= max(wanted):
                    break
        if len(found) < len(wanted):
            raise InputFileError(
                f"{shown(path)} ends before frame {max(wanted)}; it was longer when it was read first"
            )
        return np.stack([found[n] for n in numbers.tolist()])

    def _heard(self, reader: VideoReader) -> Iterator[np.ndarray]:
        """The frames, each a sign of life."""
        if self.progress:
            self.progress(str(reader.path))
        for frame in reader:
            if self.progress:
                self.progress(str(reader.path))
            yield frame

    def _size(self, reader: VideoReader) -> tuple[int, int]:
        size = covering_size(reader.size, self.wanted)
        if max(size) > max(LIMITS.side, *self.wanted):
            raise InputFileError(
                f"{shown(reader.path)} has frames of {reader.size[0]}x{reader.size[1]}; to cover "
                f"{self.wanted[0]}x{self.wanted[1]} they would be {size[0]}x{size[1]}"
            )
        return size
