"""What a clip is to a pipeline that makes several, and the noise that it starts from; without
MindSpore.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mindlong.plans.frame_prompts import of_frames, shares_of, travels
from mindlong.utils import rng
from mindlong.utils.errors import ConfigError

if TYPE_CHECKING:
    from mindlong.plans.frame_prompts import Shares


@dataclass(frozen=True)
class Clip:
    """One video to make.

    Attributes:
        name: of its files.
        prompts: one for the whole clip, or one for each frame.
        shares: where one prompt turns into another: for each frame its prompts and how much of
            each. `prompts` then holds them all.
        title: what it shows, in a line.
        seed, number: which noise it starts from.
    """

    name: str
    prompts: tuple[str, ...]
    title: str
    seed: int
    number: int
    shares: tuple[Shares, ...] = ()


def shown_by(
    scenes: Mapping[str, str], prompt: str, frames: int, key: str
) -> tuple[tuple[str, ...], tuple[Shares, ...]]:
    """`prompts` and `shares` of a clip: of its scenes, or its one prompt where it has none.

    Args:
        key: of the configuration, for messages.

    Raises:
        ConfigError: scenes that do not fit the frames.
    """
    try:
        if not scenes:
            return (prompt,), ()
        if not travels(scenes):
            return tuple(of_frames(scenes, frames)), ()
        shares = shares_of(scenes, frames)
    except ConfigError as error:
        raise ConfigError(f"{key}: {error}") from None
    return tuple(dict.fromkeys(prompt for row in shares for prompt, _ in row)), tuple(shares)


Repeats = Callable[[int, Clip], np.ndarray]  # frames, clip -> the frame whose noise each has


def batches(clips: Sequence[Clip], size: int) -> Iterator[list[Clip]]:
    """Batches of one size, so that one graph serves all: the last is filled up with its last
    clip.
    """
    for start in range(0, len(clips), size):
        part = list(clips[start : start + size])
        yield part + [part[-1]] * (size - len(part))


def stem(number: int, videos: int) -> str:
    """The name of the files of video `number` of so many, without suffix."""
    return f"video-{number:0{digits(videos)}d}" if videos > 1 else "video"


def digits(videos: int) -> int:
    """Of the numbers in names, so that names of a run sort as they are numbered."""
    return max(3, len(str(videos - 1)))


def first_noise(
    clips: Sequence[Clip], shape_CFhw: tuple[int, ...], repeats: Repeats | None = None
) -> np.ndarray:
    """The noise that `clips` start from, (B, C, F, h, w) float32; `repeats` says which frames of a
    clip have that of others.
    """
    drawn = [rng.normal(shape_CFhw, clip.seed, "sample", 0, clip.number) for clip in clips]
    if repeats is not None:
        frames = shape_CFhw[1]
        drawn = [noise[:, repeats(frames, clip)] for noise, clip in zip(drawn, clips, strict=True)]
    return np.stack(drawn)
