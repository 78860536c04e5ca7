"""Key frames from a file: a video whose frame rate is to be raised, or images. Read forward, a
few frames at a time.

Legend: K key frames, H W pixels, C channels; frames uint8 RGB.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from mindlong.data.flow import check_alike
from mindlong.media.read import open_reader, read_image
from mindlong.utils.errors import ConfigError, InputFileError
from mindlong.utils.log import get_logger
from mindlong.utils.shown import shown

Open = Callable[[], AbstractContextManager[Iterator[np.ndarray]]]


@dataclass
class KeyFrames:
    """Frames that can be read again and again.

    Attributes:
        count: how many there are.
        size: height and width in pixels.
        fps: frames per second, 0 where nothing says it (images).
        where: what they came from, for sentences; sound: a file that may have sound.
        notes: oddities found, as sentences.
    """

    count: int
    size: tuple[int, int]
    fps: float
    where: str
    open: Open
    sound: Path | None = None
    notes: tuple[str, ...] = ()
    _stack: contextlib.ExitStack = field(default_factory=contextlib.ExitStack, repr=False)
    _frames: Iterator[np.ndarray] | None = field(default=None, repr=False)
    _next: int = 0

    def all(self) -> Iterator[np.ndarray]:
        """Every frame from the first, one at a time."""
        with self.open() as frames:
            yield from frames

    def take(self, start: int, stop: int) -> np.ndarray:
        """Frames start to stop - 1, (K, H, W, C); goes forward from the last call, and begins anew
        only to go back.
        """
        if self._frames is None or start < self._next:
            self.close()
            self._frames, self._next = self._stack.enter_context(self.open()), 0
        found = []
        while self._next < stop:
            frame = next(self._frames, None)
            if frame is None:
                raise InputFileError(
                    f"{self.where} ends at frame {self._next}; it had {self.count} when it was read first"
                )
            if self._next >= start:
                found.append(frame)
            self._next += 1
        return np.stack(found)

    def close(self) -> None:
        """Let the file go."""
        self._stack.close()
        self._frames = None


def from_video(path: str | Path, max_frames: int = 0, uneven: str = "refuse") -> KeyFrames:
    """The frames of a video; it is read once to its end to count them and to see how they are
    spaced in time.

    Args:
        max_frames: only the first so many; 0: all.
        uneven: "refuse" or "even", for frames that are not evenly spaced.

    Raises:
        InputFileError: no video, fewer than two frames, or a variable frame rate.
    """
    path, count, variable = Path(path), 0, False
    with open_reader(path, say=False) as reader:
        for _ in reader:
            count += 1
            if count == max_frames:
                break
        variable, notes = reader.variable_rate, tuple(reader.notes)
        fps = reader.fps
    if count < 2:
        raise InputFileError(
            f"{shown(path)} has {count} frame; interpolation needs at least 2 key frames"
        )
    if variable and uneven == "refuse":
        said = next((n for n in notes if "ms" in n), "its frames are not evenly spaced")
        raise InputFileError(
            f"{shown(path)} has a variable frame rate: {said.split(';')[0]}. Frames in between would come at the wrong "
            "times; convert it to a constant rate, or give interpolate.uneven=even to take them as even"
        )
    for note in notes:
        get_logger().warning("%s: %s", shown(path), note)
    return KeyFrames(count, reader.size, fps, shown(path), lambda: _video(path, count), path, notes)


@contextlib.contextmanager
def _video(path: Path, count: int) -> Iterator[Iterator[np.ndarray]]:
    with open_reader(path, say=False) as reader:
        yield (frame for _, frame in zip(range(count), reader, strict=False))


def from_images(paths: Sequence[str | Path]) -> KeyFrames:
    """Images as key frames, in the order given.

    Raises:
        ConfigError: fewer than two. InputFileError: a file that is no image, or images of
            different sizes.
    """
    if len(paths) < 2:
        raise ConfigError(
            f"{len(paths)} images were given; interpolation needs at least 2 key frames"
        )
    size, last = None, None
    for number, path in enumerate(paths):
        frame = read_image(Path(path))
        if last is not None:
            check_alike(last, frame, number)
        size, last = frame.shape[:2], frame
    return KeyFrames(
        len(paths),
        size,
        0.0,
        f"{len(paths)} images",
        lambda: contextlib.nullcontext(map(read_image, paths)),
    )
