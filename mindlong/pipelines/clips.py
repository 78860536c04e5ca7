"""What a clip is to a pipeline that makes several; without MindSpore."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Clip:
    """One video to make.

    Attributes:
        name: of its files.
        prompts: one for the whole clip, or one for each frame.
        title: what it shows, in a line.
        seed, number: which noise it starts from.
    """

    name: str
    prompts: tuple[str, ...]
    title: str
    seed: int
    number: int
