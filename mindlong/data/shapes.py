"""A synthetic world to learn and to measure on: one coloured shape that moves, its caption, and the
exact truth.

Clip `index` of a world is a pure function of (seed, index): nothing is stored, any length and size
can be asked for, and two processes never disagree. The caption names shape, colour and direction
("a red circle moving right"); where the shape bounces, it names the direction it starts in.
`data.shapes_reader` reads these three back from pixels.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

import cv2
import numpy as np

from mindlong.data.shapes_draw import REACH, SHAPES, coverage, paint
from mindlong.data.source import Sample
from mindlong.utils.errors import ConfigError, did_you_mean
from mindlong.utils.rng import generator

COLOURS = {
    "red": (228, 52, 48),
    "green": (60, 186, 76),
    "blue": (52, 104, 240),
    "yellow": (248, 220, 50),
    "magenta": (220, 66, 210),
    "cyan": (48, 208, 222),
    "orange": (248, 138, 28),
}
_D = float(np.sqrt(0.5))
MOTIONS = {
    "left": (-1.0, 0.0),
    "right": (1.0, 0.0),
    "up": (0.0, -1.0),
    "down": (0.0, 1.0),
    "up left": (-_D, -_D),
    "up right": (_D, -_D),
    "down left": (-_D, _D),
    "down right": (_D, _D),
}
BACKGROUNDS = ("plain", "texture")
MIN_SIZE = 16


@dataclass(frozen=True)
class Truth:
    """What is really in a clip; positions in pixels, (x, y), y downwards, (0, 0) the centre of the
    first pixel.
    """

    shape: str
    colour: str
    motion: str
    position_F2: np.ndarray
    radius_F: np.ndarray  # of the circle of equal area, pixels
    velocity_F2: np.ndarray  # pixels a frame, at that frame
    background_HWC: np.ndarray  # uint8


@dataclass(frozen=True)
class Clip(Sample):
    """Frames (F, H, W, 3) uint8 RGB, their caption, and the truth behind them."""

    truth: Truth = field(kw_only=True)


def caption_of(shape: str, colour: str, motion: str) -> str:
    """`a red circle moving right`."""
    return f"{'an' if colour[0] in 'aeiou' else 'a'} {colour} {shape} moving {motion}"


def parse_caption(text: str) -> tuple[str | None, str | None, str | None]:
    """(shape, colour, motion) named in `text`, each None where not named; case and other words do
    not matter.
    """
    words = "".join(c if c.isalpha() else " " for c in text.lower()).split()
    shape = next((w for w in words if w in SHAPES), None)
    colour = next((w for w in words if w in COLOURS), None)
    heading = [w for w in words if w in ("up", "down")][:1] + [
        w for w in words if w in ("left", "right")
    ][:1]
    return shape, colour, " ".join(heading) or None


@dataclass(frozen=True)
class ShapesWorld:
    """The options of a world. `size` is (height, width); `radius` and `speed` are shares of the
    shorter side.

    Speed is per frame; without `bounce` the shape is slowed down, where it must be, to stay inside
    for the whole clip. `grow` lets its size swing by up to a third. Raises ConfigError on unknown
    names and on sizes under 16 pixels.
    """

    size: tuple[int, int] = (32, 32)
    frames: int = 8
    shapes: tuple[str, ...] = ("circle", "square", "triangle")
    colours: tuple[str, ...] = ("red", "green", "blue", "yellow")
    motions: tuple[str, ...] = ("left", "right", "up", "down")
    background: str = "plain"
    bounce: bool = False
    grow: bool = False
    seed: int = 0
    radius: tuple[float, float] = (0.15, 0.21)
    speed: tuple[float, float] = (0.045, 0.08)

    def __post_init__(self):
        for name, valid in (("shapes", SHAPES), ("colours", COLOURS), ("motions", MOTIONS)):
            object.__setattr__(self, name, known_names(f"data.{name}", getattr(self, name), valid))
        known_names("data.background", (self.background,), BACKGROUNDS)
        object.__setattr__(self, "size", tuple(int(n) for n in self.size))
        if len(self.size) != 2 or min(self.size) < MIN_SIZE:
            raise ConfigError(
                f"data.size is {list(self.size)}; the shapes world needs [height, width], "
                f"each at least {MIN_SIZE}"
            )
        if self.frames < 1:
            raise ConfigError(f"data.frames is {self.frames}; a clip has at least one frame")

    def clip(self, index: int) -> Clip:
        """The clip with number `index`, any integer from 0 up."""
        draw = generator(self.seed, "shapes", index)
        return self._film(
            draw, *(str(draw.choice(names)) for names in (self.shapes, self.colours, self.motions))
        )

    def clip_of(self, caption: str, index: int) -> Clip:
        """A clip that shows `caption` (its parts may lie outside this world's lists), differing
        with `index`.
        """
        shape, colour, motion = parse_caption(caption)
        if shape is None or colour is None or motion is None:
            raise ConfigError(
                f"the caption {caption!r} must name a shape, a colour and a direction, as in "
                "'a red circle moving right'"
            )
        draw = generator(self.seed, "shapes of", caption, index)
        return self._film(draw, shape, colour, motion)

    sample = clip

    def captions(self) -> list[str]:
        """Every caption of this world."""
        return [
            caption_of(s, c, m) for c in self.colours for s in self.shapes for m in self.motions
        ]

    def describe(self) -> str:
        """One line for the opening of a run."""
        extras = [self.background] + ["bounce"] * self.bounce + ["grow"] * self.grow
        return (
            f"shapes world, seed {self.seed}: {len(self.captions())} captions, {self.frames} frames of "
            f"{self.size[0]}x{self.size[1]}, {', '.join(extras)}"
        )

    def _film(self, draw: np.random.Generator, shape: str, colour: str, motion: str) -> Clip:
        side = min(self.size)
        radius_F = side * draw.uniform(*self.radius) * _swing(draw, self.frames, self.grow)
        speed = side * draw.uniform(*self.speed)
        position_F2, velocity_F2 = self._path(
            draw, motion, speed, self._room(shape, float(radius_F.max()))
        )
        background = _background(draw, self.size, self.background)
        covered = coverage(shape, position_F2, radius_F, self.size)
        frames = np.rint(paint(background, covered, np.array(COLOURS[colour]))).astype(np.uint8)
        truth = Truth(
            shape,
            colour,
            motion,
            position_F2,
            radius_F,
            velocity_F2,
            np.rint(background).astype(np.uint8),
        )
        return Clip(frames, caption_of(shape, colour, motion), truth=truth)

    def _room(self, shape: str, radius: float) -> tuple[np.ndarray, np.ndarray]:
        """The lowest and the highest (x, y) at which the outline is still inside the image."""
        left, right, up, down = (radius * reach for reach in REACH[shape])
        return np.array([left, up]) - 0.5, np.array(
            [self.size[1] - right, self.size[0] - down]
        ) - 0.5

    def _path(
        self,
        draw: np.random.Generator,
        motion: str,
        speed: float,
        room: tuple[np.ndarray, np.ndarray],
    ) -> tuple[np.ndarray, np.ndarray]:
        """Positions and velocities, (F, 2) float64."""
        low, high = room
        heading = np.array(MOTIONS[motion])
        straight = (
            min(self.frames - 1, 4) if self.bounce else self.frames - 1
        )  # steps before the first turn
        with np.errstate(divide="ignore"):
            speed = min(speed, float(np.min((high - low) / np.abs(heading * max(straight, 1)))))
        shift = heading * speed * straight
        first, last = low - np.minimum(shift, 0), high - np.maximum(shift, 0)
        start = draw.uniform(first, np.maximum(first, last))
        line = start + heading * speed * np.arange(self.frames)[:, None]
        if self.bounce:
            return _reflect(line, heading * speed, low, high)
        return line, np.full_like(line, heading * speed)


def known_names(
    what: str, names: tuple[str, ...], valid: Collection[str], world: str = "shapes world"
) -> tuple[str, ...]:
    """`names`; raises ConfigError where there are none, or one that is not `valid`."""
    if not names:
        raise ConfigError(f"{what} is empty; choose from {', '.join(valid)}")
    for name in names:
        if name not in valid:
            raise ConfigError(
                f"{what} has {name!r}, unknown to the {world}.{did_you_mean(str(name), valid)}"
            )
    return tuple(names)


def _swing(draw: np.random.Generator, frames: int, grow: bool) -> np.ndarray:
    """The factor on the radius at every frame, within 3/4 and 4/3, one swing in about 16 frames."""
    phase, period = draw.uniform(0, 2 * np.pi), draw.uniform(12, 20)
    if not grow:
        return np.ones(frames)
    return np.exp(np.log(4 / 3) * np.sin(phase + 2 * np.pi * np.arange(frames) / period))


def _reflect(
    line_F2: np.ndarray, velocity: np.ndarray, low: np.ndarray, high: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Fold a straight line into the box [low, high] as a billiard ball runs."""
    room = np.maximum(high - low, 1e-9)
    turns = (line_F2 - low) / room
    folded = np.abs((turns + 1) % 2 - 1)
    sign = np.where(np.floor(turns) % 2 == 0, 1.0, -1.0)
    return low + folded * room, velocity * sign


def _background(draw: np.random.Generator, size: tuple[int, int], kind: str) -> np.ndarray:
    """(H, W, 3) float32 in 0..255: a dark, nearly grey tone, with soft clouds and stripes if
    `texture`.
    """
    tone = draw.uniform(20, 70) + draw.uniform(-8, 8, 3)
    image = np.broadcast_to(tone.astype(np.float32), (*size, 3))
    if kind == "plain":
        return np.ascontiguousarray(image)
    clouds = cv2.resize(
        draw.uniform(-22, 22, (5, 5)).astype(np.float32), size[::-1], interpolation=cv2.INTER_CUBIC
    )
    wave, phase = draw.uniform(-0.9, 0.9, 2), draw.uniform(0, 2 * np.pi)
    y, x = np.mgrid[: size[0], : size[1]].astype(np.float32) * (24.0 / min(size))
    stripes = 9 * np.sin(wave[0] * x + wave[1] * y + phase).astype(np.float32)
    return np.clip(image + (clouds + stripes)[..., None], 0, 110)
