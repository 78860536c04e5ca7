"""A network in the form that runs a video clip by clip: what clips ask each other, what is sent.

The form is named by `Denoiser.sharded`: a class of (cell, exact, context) with an attribute `exact`
and a method clip(layout, number, park) -> an object whose forward(x_BCFHW, t_B, context, fps_B) is
a generator: it yields an `Ask` wherever a layer sees other frames and is sent an `Answer`.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Ask:
    """What a clip gives and wants, in one layer.

    Attributes:
        kind: of `mindlong.plans.clip_layout.KINDS`; says which frames are wanted.
        frames: (B, exports, ...) the frames of this clip that others need, or None.
        numbers: float32 (F, ...), small numbers for every frame, which every clip gets from all
            frames; or None.
        per_clip: `numbers` are (1, ...), of the clip; every clip gets those of all clips.
    """

    kind: str
    frames: np.ndarray | None = None
    numbers: np.ndarray | None = None
    per_clip: bool = False


@dataclass(frozen=True)
class Answer:
    """`frames` (B, wanted, ...) and `numbers` (frames of the whole video, or its clips, ...), each
    where it was asked for.
    """

    frames: np.ndarray | None = None
    numbers: np.ndarray | None = None


Talk = Generator[Ask, Answer, Any]


@dataclass(frozen=True)
class Site:
    """One place where a layer sees other frames.

    Attributes:
        where: for people: "entry", "down 0", "mid", "up 2".
        kind: of `mindlong.plans.clip_layout.KINDS`.
        frame: numbers in one frame of what is sent (0: none).
        numbers: float32 numbers that go to everybody for each frame.
        clip: those that go to everybody for each clip.
    """

    where: str
    kind: str
    frame: int
    numbers: int
    clip: int = 0
