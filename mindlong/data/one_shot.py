"""Clips cut out of single videos: frame start, start + stride, ... brought to one size. For tuning
and for editing.

Tune-A-Video's dataset takes the same frames and stretches them; a video with fewer frames is an
error here, where the original goes on with fewer.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mindlong.data.source import Sample
from mindlong.data.transforms import covering_size, crop, resize
from mindlong.media.images import read_image
from mindlong.media.read import open_reader, probe
from mindlong.utils.errors import ConfigError, InputFileError
from mindlong.utils.log import get_logger

if TYPE_CHECKING:
    from mindlong.config.schema import TrainConfig

ODD = 0.02  # relative difference of two aspect ratios that nobody needs to be told of


def read_clip(
    path: str | Path,
    frames: int,
    size: tuple[int, int],
    *,
    start: int = 0,
    stride: int = 1,
    fit: str = "crop",
) -> np.ndarray:
    """Frames start, start + stride, ... of a video, uint8 (frames, height, width, 3).

    Args:
        size: height and width wanted.
        fit: "crop": resized until it covers the size, edges cut off; "stretch": resized; "refuse":
            other proportions are an error.

    Raises:
        InputFileError: no such video, too few frames, or proportions that are refused.
    """
    wanted = range(start, start + (frames - 1) * stride + 1, stride)
    found: list[np.ndarray] = []
    with open_reader(path) as reader:
        count = 0
        for number, frame in enumerate(reader):
            count = number + 1
            if number in wanted:
                found.append(_fitted(frame, size, fit, path, not found))
            if len(found) == frames:
                return np.stack(found)
    raise InputFileError(
        f"{path} has {count} frames; {frames} frames from number {start} at a stride of {stride} need "
        f"{wanted[-1] + 1}. Fewer frames or a smaller stride or start will do"
    )


def read_frame(path: str | Path, size: tuple[int, int], fit: str = "crop") -> np.ndarray:
    """An image as a frame, uint8 (height, width, 3); arguments as for `read_clip`. Raises
    InputFileError.
    """
    return _fitted(read_image(path), size, fit, path, True)


def _fitted(
    frame_HWC: np.ndarray, size: tuple[int, int], fit: str, path: str | Path, first: bool
) -> np.ndarray:
    height, width = frame_HWC.shape[:2]
    odd = abs(height * size[1] / (width * size[0]) - 1) > ODD
    if odd and fit == "refuse":
        raise InputFileError(
            f"{path} is {height} pixels high and {width} wide; {size[0]} by {size[1]} has other proportions. "
            "fit=crop cuts edges off, fit=stretch distorts"
        )
    covering = covering_size((height, width), size)
    if odd and first:
        lost = 1 - size[0] * size[1] / (covering[0] * covering[1])
        what = (
            f"the edges, {100 * lost:.0f} % of it, are cut off"
            if fit == "crop"
            else "it is distorted"
        )
        get_logger().warning(
            "%s is %dx%d, in other proportions than %dx%d: %s", path, height, width, *size, what
        )
    return (
        resize(frame_HWC, size)
        if fit == "stretch"
        else crop(resize(frame_HWC, covering)[None], size)[0]
    )


def window_starts(total: int, frames: int, stride: int, start: int, windows: int) -> list[int]:
    """First frames of `windows` clips spread evenly over a video of `total` frames. Raises
    ConfigError where they do not fit.
    """
    last = total - (frames - 1) * stride - 1
    if windows > 1 and last - start < windows - 1:
        raise ConfigError(
            f"tune.windows is {windows}; a video of {total} frames has room for {max(last - start + 1, 0)} different "
            f"clips of {frames} frames at a stride of {stride} from frame {start}"
        )
    return [start] if windows == 1 else [int(p) for p in np.linspace(start, last, windows)]


class OneShot:
    """A `data.source.Source` over a few clips in memory; sample i is clip i modulo their number.

    Args:
        pairs: (video, prompt) of each.
        windows: clips of each video, see `window_starts`.

    Raises:
        InputFileError, ConfigError: as `read_clip` and `window_starts`.
    """

    def __init__(
        self,
        pairs: Sequence[tuple[str, str]],
        frames: int,
        size: tuple[int, int],
        *,
        start: int = 0,
        stride: int = 1,
        windows: int = 1,
        fit: str = "crop",
    ) -> None:
        self.clips, self.stride, self.videos = [], stride, [Path(video) for video, _ in pairs]
        for video, prompt in pairs:
            total = probe(video).frames if windows > 1 else 0
            for first in window_starts(total, frames, stride, start, windows):
                self.clips.append(
                    Sample(
                        read_clip(video, frames, size, start=first, stride=stride, fit=fit), prompt
                    )
                )

    def __len__(self) -> int:
        return len(self.clips)

    def sample(self, index: int) -> Sample:
        """Clip `index` modulo their number."""
        return self.clips[index % len(self.clips)]

    def digest(self) -> str:
        """A fingerprint of all pixels and prompts."""
        found = hashlib.sha256()
        for clip in self.clips:
            found.update(clip.caption.encode() + clip.frames_FHWC.tobytes())
        return found.hexdigest()

    def describe(self) -> str:
        """One line for the opening of a run."""
        frames, height, width, _ = self.clips[0].frames_FHWC.shape
        return (
            f"{', '.join(v.name for v in self.videos)}: {len(self)} clips of {frames} frames of {height}x{width}, stride "
            f"{self.stride}; {self.clips[0].caption!r}"
        )


def one_shot_of(config: TrainConfig) -> OneShot:
    """The clips of a tuning, from its configuration. Raises as `OneShot`."""
    options, data = config.tune, config.data
    height, width = data.size
    return OneShot(
        options.pairs(),
        data.frames,
        (height, width),
        start=options.start,
        stride=data.stride,
        windows=options.windows,
        fit=options.fit,
    )
