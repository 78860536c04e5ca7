"""Prompts that hold for a range of frames: {"0-7": "a red circle", "8-15": "a blue circle"}; or for
single frames, between which one turns into the next: {"0": "spring", "15": "autumn"}.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from mindlong.utils.errors import ConfigError

Range = tuple[int, int]
Shares = tuple[tuple[str, float], ...]  # prompts of a frame, and how much of each


def parse(scene: Mapping[str, str], frames: int | None = None) -> list[tuple[Range, str]]:
    """The ranges (first, last; both included) in order with their prompts.

    Args:
        frames: number of frames of the video; None does not check the end.

    Raises:
        ConfigError: a range that cannot be read, ranges that overlap or leave frames out.
    """
    found = sorted((_range(key), str(prompt)) for key, prompt in scene.items())
    if not found:
        raise ConfigError(
            "a scene has no frame range; it is written {0-7: a prompt, 8-15: another}"
        )
    after = 0
    for (first, last), _ in found:
        if first != after:
            word = "twice" if first < after else "without a prompt"
            raise ConfigError(
                f"frame {min(first, after)} is {word}; the ranges must follow one another from frame 0"
            )
        after = last + 1
    if frames is not None and after != frames:
        raise ConfigError(
            f"the ranges end with frame {after - 1}; the video has frames 0 to {frames - 1}"
        )
    return found


def check(scene: Mapping[str, str], frames: int | None = None) -> None:
    """Raise ConfigError where a scene of either form cannot be read, or does not fit a video of
    `frames` frames.
    """
    if not travels(scene):
        parse(scene, frames)
        return
    last = max(_range(key)[0] for key in scene)
    shares_of(scene, frames or last + 1)


def of_frames(scene: Mapping[str, str], frames: int) -> list[str]:
    """The prompt of each of `frames` frames. Raises as `parse`."""
    return [
        prompt for (first, last), prompt in parse(scene, frames) for _ in range(first, last + 1)
    ]


def travels(scene: Mapping[str, str]) -> bool:
    """Whether a scene names single frames, between which one prompt turns into the next."""
    keys = [_range(key) for key in scene]
    return len(keys) > 1 and all(first == last for first, last in keys)


def shares_of(scene: Mapping[str, str], frames: int) -> list[Shares]:
    """For each frame the prompts that it is between, with their shares: {0: a, 8: b} is a at frame
    0, half of each at frame 4, b from frame 8 on.

    Raises:
        ConfigError: no prompt for frame 0, two for a frame, or one for a frame that there is not.
    """
    keys = sorted((_range(key)[0], str(prompt)) for key, prompt in scene.items())
    if keys[0][0]:
        raise ConfigError(
            f"the first prompt is of frame {keys[0][0]}; there must be one of frame 0"
        )
    for (frame, _), (following, _) in zip(keys[:-1], keys[1:], strict=True):
        if frame == following:
            raise ConfigError(f"frame {frame} is named twice; a frame has one prompt")
    if keys[-1][0] >= frames:
        raise ConfigError(
            f"there is a prompt of frame {keys[-1][0]}; the video has frames 0 to {frames - 1}"
        )
    keys.append((frames, keys[-1][1]))
    made: list[Shares] = []
    for (first, before), (last, after) in zip(keys[:-1], keys[1:], strict=True):
        for frame in range(first, last):
            share = (frame - first) / (last - first)
            alone = before == after or not share
            made.append(((before, 1.0),) if alone else ((before, 1 - share), (after, share)))
    return made


def rows_of(scene: Mapping[str, str], frames: int) -> list[Shares]:
    """For each frame of a scene of either form its prompts, with their shares. Raises as `parse`
    and `shares_of`.
    """
    if travels(scene):
        return shares_of(scene, frames)
    return [((prompt, 1.0),) for prompt in of_frames(scene, frames)]


def title(scene: Mapping[str, str]) -> str:
    """One line that says what a scene shows."""
    if travels(scene):
        keys = sorted((_range(key)[0], str(prompt)) for key, prompt in scene.items())
        return " -> ".join(prompt for _, prompt in keys)
    return " / ".join(prompt for _, prompt in parse(scene))


def _range(key: str) -> Range:
    match = re.fullmatch(r"\s*(\d+)\s*(?:-\s*(\d+)\s*)?", str(key))
    if not match:
        raise ConfigError(
            f"{key!r} is not a range of frames; it is written 0-7, both ends included, or one number"
        )
    first, last = int(match[1]), int(match[2] or match[1])
    if last < first:
        raise ConfigError(f"the range {key!r} ends before it begins")
    return first, last
