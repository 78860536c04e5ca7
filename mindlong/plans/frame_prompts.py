"""Prompts that hold for a range of frames: {"0-7": "a red circle", "8-15": "a blue circle"}."""

from __future__ import annotations

import re
from collections.abc import Mapping

from mindlong.utils.errors import ConfigError

Range = tuple[int, int]


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


def of_frames(scene: Mapping[str, str], frames: int) -> list[str]:
    """The prompt of each of `frames` frames. Raises as `parse`."""
    return [
        prompt for (first, last), prompt in parse(scene, frames) for _ in range(first, last + 1)
    ]


def title(scene: Mapping[str, str]) -> str:
    """One line that says what a scene shows."""
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
