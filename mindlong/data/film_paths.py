"""Where the camera and the objects of a film are, frame by frame.

Two frames of reference. Scene: pixels of the largest magnification, (0, 0) where the camera looks
at in frame 0. Image: pixels, (0, 0) the centre of the first one. image = zoom (scene - camera) +
middle of the image, x to the right, y downwards; zoom is at most 1. Axes: F frames, N objects.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from mindlong.data.film_captions import PANS, ZOOMS
from mindlong.data.shapes import MOTIONS
from mindlong.data.shapes_draw import REACH

PAN_SPEED = (0.02, 0.045)  # shares of the shorter side a frame
ZOOM_RANGE = (1.2, 1.4)  # the largest magnification of a clip over its smallest
TRIES = 48
TOUCH = 0.8  # of both reaches, from which outlines that turn are taken to be apart
BESIDE = 0.6  # most that two paths that cross miss one another by, in an object's reach
# How far an outline reaches from its centre when it turns, in radii.
FURTHEST = {shape: max(reach) for shape, reach in REACH.items()} | {
    "square": float(np.sqrt(2)) * max(REACH["square"]),
    "cross": float(np.hypot(1, 1 / 3)) * max(REACH["cross"]),
}


@dataclass(frozen=True)
class CameraPath:
    """Where the camera looks at in the scene, and its magnification, at most 1."""

    centre_F2: np.ndarray
    zoom_F: np.ndarray

    def to_image(self, scene_F2: np.ndarray, size: tuple[int, int]) -> np.ndarray:
        """Scene positions (F, 2) in pixels of an image of `size` (H, W)."""
        return self.zoom_F[:, None] * (scene_F2 - self.centre_F2) + middle(size)

    def to_scene(self, image_F2: np.ndarray, size: tuple[int, int]) -> np.ndarray:
        """The inverse of `to_image`."""
        return (image_F2 - middle(size)) / self.zoom_F[:, None] + self.centre_F2


@dataclass(frozen=True)
class Paths:
    """The camera's path, and of every object its scene positions (F, 2)."""

    camera: CameraPath
    scene_NF2: np.ndarray


@dataclass(frozen=True)
class Moves:
    """What is to be placed: N objects' velocities and reaches, the camera's velocity (pixels a
    frame), all before anything is slowed down.
    """

    velocity_N2: np.ndarray
    reach_N: np.ndarray
    pan_2: np.ndarray
    frames: int
    size: tuple[int, int]

    @property
    def seen_N2(self) -> np.ndarray:
        """Velocities in the image, without zoom."""
        return self.velocity_N2 - self.pan_2

    def slowed(self, pace: float) -> Moves:
        """The same at `pace` times the speed."""
        return replace(self, velocity_N2=pace * self.velocity_N2, pan_2=pace * self.pan_2)

    @property
    def half_N2(self) -> np.ndarray:
        """How far from the middle of the image, (x, y), an object's centre may be."""
        return np.maximum(np.array(self.size[::-1]) / 2 - self.reach_N[:, None] - 0.5, 0.5)


def middle(size: tuple[int, int]) -> np.ndarray:
    """(x, y) of the middle of an image of `size` (H, W)."""
    return (np.array(size[::-1], np.float64) - 1) / 2


def zooming(
    draw: np.random.Generator, zoom: str | None, frames: int, pace: float = 1.0
) -> np.ndarray:
    """The magnification at every frame: even in its logarithm, 1 at its largest."""
    depth = pace * np.log(draw.uniform(*ZOOM_RANGE))
    if zoom is None:
        return np.ones(frames)
    done = np.arange(frames) / max(frames - 1, 1)
    return np.exp(-depth * (1 - done if ZOOMS[zoom] > 0 else done))


def moves(
    draw: np.random.Generator,
    motions: list[str | None],
    reach_N: np.ndarray,
    pan: str | None,
    frames: int,
    size: tuple[int, int],
    speed: tuple[float, float],
) -> Moves:
    """Draw speeds for the directions named; None is at rest."""
    side = min(size)
    speeds = side * draw.uniform(*speed, len(motions))
    pan_speed = side * draw.uniform(*PAN_SPEED)
    headings = np.array([MOTIONS[m] if m else (0.0, 0.0) for m in motions])
    pan_2 = pan_speed * np.array(PANS[pan] if pan else (0.0, 0.0))
    return Moves(headings * speeds[:, None], reach_N, pan_2, frames, size)


def place(draw: np.random.Generator, asked: Moves, meet: bool, zoom_F: np.ndarray) -> Paths:
    """Paths that stay inside the image, as slow as that needs, the camera slowed down alike.

    Args:
        meet: two objects' paths cross in the middle of the clip, else they keep apart where they
            can.
    """
    if meet and len(asked.velocity_N2) == 2:
        slower, start = _meeting(draw, asked)
    else:
        slower, start = _apart(draw, asked)
    time = np.arange(asked.frames)[:, None]
    camera = CameraPath(slower * asked.pan_2 * time, zoom_F)
    scene = start[:, None] + slower * asked.velocity_N2[:, None] * time
    return Paths(camera, scene)


def clear_share(paths: Paths, reach_N: np.ndarray) -> float:
    """The share of frames in which two objects do not touch; 1 for one object."""
    if len(paths.scene_NF2) < 2:
        return 1.0
    far = np.linalg.norm(paths.scene_NF2[0] - paths.scene_NF2[1], axis=1)
    return float((far > TOUCH * reach_N.sum()).mean())


def _meeting(draw: np.random.Generator, asked: Moves) -> tuple[float, np.ndarray]:
    """(factor on all speeds, scene positions (2, 2) at frame 0) of two paths that cross."""
    count = asked.frames
    meets = draw.uniform(0.35, 0.65) * (count - 1)
    off_2 = BESIDE * draw.random() * draw.uniform(-1, 1, 2) * asked.reach_N.mean()
    beside_N2 = np.array([0.5, -0.5])[:, None] * off_2
    time = np.array([0.0, count - 1.0])[:, None, None] - meets
    way = asked.seen_N2 * time  # from the meeting to both ends
    most, least = way.max(0), way.min(0)
    high, low = asked.half_N2 - beside_N2, -asked.half_N2 - beside_N2
    room = high[:, None] - low[None]
    needed = most[:, None] - least[None]
    slower = float(np.min(np.where(needed > 1e-9, room / np.maximum(needed, 1e-9), 1.0)))
    slower = min(slower, 1.0)
    first, last = (low - slower * least).max(0), (high - slower * most).min(0)
    place_2 = draw.uniform(first, np.maximum(first, last))
    return slower, place_2 + beside_N2 - slower * asked.seen_N2 * meets


def _apart(draw: np.random.Generator, asked: Moves) -> tuple[float, np.ndarray]:
    """(factor on all speeds, scene positions (N, 2) at frame 0): of several tries the one with most
    room between the objects.
    """
    way = asked.seen_N2 * (asked.frames - 1)
    slower = min(1.0, float(np.min(2 * asked.half_N2 / np.maximum(np.abs(way), 1e-9))))
    most, least = np.maximum(slower * way, 0), np.minimum(slower * way, 0)
    first, last = -asked.half_N2 - least, asked.half_N2 - most
    tries = draw.uniform(first, np.maximum(first, last), (TRIES, *first.shape))
    if len(way) < 2:
        return slower, tries[0]
    time = np.linspace(0, 1, 9)[:, None]
    apart = tries[:, 1, None] - tries[:, 0, None] + slower * (way[1] - way[0]) * time
    nearest = np.linalg.norm(apart, axis=2).min(1)
    return slower, tries[int(nearest.argmax())]
