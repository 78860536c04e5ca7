"""Clips of the shapes world at many speeds, for a network that makes what lies between two frames.

A film of the world is seen every s-th frame, s from 1 to 15, as the levels of a hierarchy see it:
from crossings of the image in 16 frames down to clips that stand still.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import cv2
import numpy as np

from mindlong.data.shapes import MOTIONS, Clip, ShapesWorld
from mindlong.utils import rng

FRAMES, SIZE, WORLDS = 16, 48, 1000  # training worlds have the seeds below WORLDS
SLOWEST, FASTEST = 0.02, 0.5  # pixels a frame of the film
STILL, STRAIGHT, SHORT = 0.1, 0.5, 0.25  # shares of the clips
RATES = (5, 30)  # frames a second that the family is trained on


@dataclass(frozen=True)
class Glide(ShapesWorld):
    """The shapes world with headings up to an eighth of a turn off the named ones."""

    straight: float = STRAIGHT

    def _path(self, draw, motion, speed, room):
        """Positions and velocities, (F, 2) float64, inside the image in all frames."""
        low, high = room
        turn = draw.uniform(-math.pi / 8, math.pi / 8) * (draw.random() >= self.straight)
        x, y = MOTIONS[motion]
        cos, sin = math.cos(turn), math.sin(turn)
        heading = np.array([x * cos - y * sin, x * sin + y * cos])
        steps = self.frames - 1
        with np.errstate(divide="ignore"):
            speed = min(speed, float(np.min((high - low) / np.abs(heading * steps))))
        shift = heading * speed * steps
        first, last = low - np.minimum(shift, 0), high - np.maximum(shift, 0)
        start = draw.uniform(first, np.maximum(first, last))
        line = start + heading * speed * np.arange(self.frames)[:, None]
        return line, np.full_like(line, heading * speed)


@dataclass(frozen=True)
class Clips:
    """Batches of clips by number: `Clips(64)(number)`; `rates(number)` are those of the same clips.

    Attributes:
        batch: clips of a batch.
        first_seed: of the worlds; 0 for trainings, 1000 and more for what is never trained on.
        side: of the frames, pixels.
    """

    batch: int
    first_seed: int = 0
    side: int = SIZE

    def __call__(self, number: int) -> list[Clip]:
        """The clips; the caption of some does not name the direction."""
        cv2.setNumThreads(1)
        return [self._clip(number, place) for place in range(self.batch)]

    def rates(self, number: int) -> np.ndarray:
        """What the network takes as frames a second, int64 (batch,)."""
        return np.array([self._drawn(number, place)[0] for place in range(self.batch)])

    def _drawn(self, number: int, place: int) -> tuple[int, float, bool]:
        """(frames a second, pixels a frame of the clip, whether the direction is not named)."""
        draw = rng.generator(self.first_seed, "interp clip", number, place)
        stride = round(math.exp(draw.uniform(0, math.log(FRAMES - 1))))
        speed = math.exp(draw.uniform(math.log(SLOWEST), math.log(FASTEST))) * stride
        rate = int(np.clip(round(draw.integers(RATES[0], RATES[1] + 1) / stride), *RATES))
        still, short = draw.random() < STILL, draw.random() < SHORT
        return rate, 0.0 if still else speed, short

    def _clip(self, number: int, place: int) -> Clip:
        _, pixels, short = self._drawn(number, place)
        speed = pixels / SIZE  # of 48 pixels; in other sizes the same share
        world = Glide(
            size=(self.side, self.side),
            frames=FRAMES,
            motions=tuple(MOTIONS),
            speed=(speed, speed),
            seed=self.first_seed + number % WORLDS,
        )
        clip = world.clip(number * self.batch + place)
        return replace(clip, caption=clip.caption.split(" moving")[0]) if short else clip
