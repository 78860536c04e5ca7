"""What a clip is to a pipeline that makes several; without MindSpore."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from mindlong.plans.frame_prompts import Shares, of_frames, shares_of, travels
from mindlong.utils.errors import ConfigError


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


def stem(number: int, videos: int) -> str:
    """The name of the files of video `number` of so many, without suffix."""
    return f"video-{number:0{digits(videos)}d}" if videos > 1 else "video"


def digits(videos: int) -> int:
    """Of the numbers in names, so that names of a run sort as they are numbered."""
    return max(3, len(str(videos - 1)))
